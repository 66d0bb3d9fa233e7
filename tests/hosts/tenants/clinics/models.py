"""The clinics of the site, and their addresses: rows of the public schema."""

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Clinic(TenantMixin):
    medblocks_api_key = models.CharField(max_length=200)
    medblocks_workspace = models.SlugField(max_length=50, unique=True)
    medblocks_webhook_secret = models.CharField(max_length=200, blank=True)
    medblocks_base_url = models.URLField(blank=True)


class Domain(DomainMixin):
    pass
