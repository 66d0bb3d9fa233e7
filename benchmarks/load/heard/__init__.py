"""An app of the load test's host: its receivers write down each signal that they hear."""
