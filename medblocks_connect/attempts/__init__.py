"""The life of an attempt: start, evidence, outcome."""
