"""Patients connect their hospital records inside the host's own site, through Medblocks."""

__version__ = "0.1.0"
