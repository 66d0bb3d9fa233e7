"""The tenants of ``benchmarks/workspaces.py``: a clinic has a schema and a host name of its own."""

from __future__ import annotations

from django_tenants.models import DomainMixin, TenantMixin


class Clinic(TenantMixin):
    """A tenant, whose tables are made when it is saved."""


class Domain(DomainMixin):
    """A clinic's host name."""
