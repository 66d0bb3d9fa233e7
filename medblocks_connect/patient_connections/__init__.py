"""Where a patient is connected: listing and ending their connections."""
