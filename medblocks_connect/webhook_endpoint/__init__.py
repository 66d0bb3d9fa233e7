"""Our webhook endpoint at Medblocks: registered, looked at, and the events that it missed."""
