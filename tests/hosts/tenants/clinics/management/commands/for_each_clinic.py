"""``for_each_clinic``: runs a command in every clinic's schema, past those in which it fails."""

from django.core.management import BaseCommand, CommandError, call_command
from django_tenants.utils import get_public_schema_name, tenant_context

from clinics.models import Clinic


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("command")
        parser.add_argument("options", nargs="*")  # after "--"

    def handle(self, *args, command, options, **kwargs):
        failed = []
        for clinic in Clinic.objects.exclude(schema_name=get_public_schema_name()):
            with tenant_context(clinic):
                try:
                    call_command(command, *options)
                except Exception as error:  # noqa: BLE001 - the next clinic must have its turn
                    self.stderr.write(f"{clinic.schema_name}: {error}")
                    failed.append(clinic.schema_name)
        if failed:
            raise CommandError(f"{command} failed for {', '.join(failed)}")
