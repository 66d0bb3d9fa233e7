"""The migrations are those of the models."""

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_migrations_match_the_models():
    call_command("makemigrations", "medblocks_sandbox", check=True, dry_run=True, verbosity=0)
