"""A database, and each schema of it, has one random id, asked for once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connections, transaction

from medblocks_connect.models import Installation, find_installation_id, installation


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    """What a process remembers, which has just begun."""
    ids = {}
    monkeypatch.setattr(installation, "_remembered", ids)
    return ids


@pytest.fixture
def _no_row(db):
    Installation.objects.all().delete()


@pytest.mark.usefixtures("_no_row")
def test_first_need_makes_the_row():
    made = find_installation_id()
    assert Installation.objects.get().installation_id == made
    assert len(made) == 32
    assert find_installation_id() == made


@pytest.mark.usefixtures("_no_row")
def test_id_of_another_database_differs():
    first = find_installation_id()
    Installation.objects.all().delete()
    assert find_installation_id() != first


@pytest.mark.django_db(transaction=True)
def test_second_need_asks_no_query(django_assert_num_queries):
    made = find_installation_id()
    with django_assert_num_queries(0):
        assert find_installation_id() == made


@pytest.mark.django_db(transaction=True)
def test_row_that_is_rolled_back_is_not_remembered():
    with transaction.atomic():
        lost = find_installation_id()
        transaction.set_rollback(True)
    assert find_installation_id() != lost


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("changes", [{"schema_name": "north"}, {"tenant": SimpleNamespace(pk=7)}])
def test_other_schema_or_tenant_asks_anew(monkeypatch, remembered, changes):
    """A new tenant may be given the schema name of one that was deleted."""
    find_installation_id()
    for name, value in changes.items():
        monkeypatch.setattr(connections["default"], name, value, raising=False)
    find_installation_id()
    assert len(remembered) == 2


@pytest.mark.django_db(transaction=True)
def test_remembered_ids_are_bounded(monkeypatch, remembered):
    monkeypatch.setattr(installation, "_REMEMBERED_MAX", 2)
    for number in range(5):
        monkeypatch.setattr(connections["default"], "schema_name", f"tenant{number}", raising=False)
        find_installation_id()
    assert len(remembered) <= 2
