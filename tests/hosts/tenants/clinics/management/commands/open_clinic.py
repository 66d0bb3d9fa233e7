"""``open_clinic``: makes a clinic with its schema, its address, its patients and its staff."""

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand
from django_tenants.utils import tenant_context

from clinics.models import Clinic, Domain

PATIENTS = 20  # one for each test at most


class Command(BaseCommand):
    def add_arguments(self, parser):
        for name in ("schema", "api_key", "webhook_secret", "base_url"):
            parser.add_argument(name)

    def handle(self, *args, schema, api_key, webhook_secret, base_url, verbosity, **options):
        clinic = Clinic(
            schema_name=schema,
            medblocks_api_key=api_key,
            medblocks_workspace=schema,
            medblocks_webhook_secret=webhook_secret,
            medblocks_base_url=base_url,
        )
        clinic.save(verbosity=verbosity)
        Domain.objects.create(tenant=clinic, domain=f"{schema}.localhost", is_primary=True)
        users = get_user_model().objects
        with tenant_context(clinic):
            # Of the same name and primary key in each clinic: the schema alone tells them apart.
            for number in range(1, PATIENTS + 1):
                users.create_user(f"patient-{number}", password="secret")
            users.create_superuser("staff", password="secret")
