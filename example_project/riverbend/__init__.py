"""Riverbend Clinic: a small, invented clinic whose patients connect their hospitals."""
