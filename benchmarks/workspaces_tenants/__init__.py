"""The app that holds django-tenants' two models for ``benchmarks/workspaces.py``."""
