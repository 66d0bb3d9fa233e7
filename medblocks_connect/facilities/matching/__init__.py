"""Matching of what a patient types with the names of a catalog; imports no Django."""
