"""Finding a facility, whatever a patient types."""
