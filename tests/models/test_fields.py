"""Identifiers compare exactly on every database: each character counts, a space at the end too."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from medblocks_connect.models import (
    Facility,
    MissingFacility,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.models.fields import IdentifierField

SIMILAR = [
    pytest.param("ab ", id="space-at-the-end"),
    pytest.param("AB", id="capitals"),
    pytest.param("\u00e1b", id="accent"),
]
UNIQUE = [
    pytest.param(WebhookDelivery, "event_id", id="event"),
    pytest.param(PatientConnectionAttempt, "patient_session_id", id="session"),
    pytest.param(Facility, "connection_id", id="facility"),
    pytest.param(MissingFacility, "folded", id="missing-facility"),
]


@pytest.mark.parametrize("similar", SIMILAR)
def test_filter_by_similar_id_finds_no_other(db, similar):
    PatientConnectionAttempt.objects.create(patient_id="ab")
    assert not PatientConnectionAttempt.objects.filter(patient_id=similar).exists()


@pytest.mark.parametrize("similar", SIMILAR)
@pytest.mark.parametrize(("model", "column"), UNIQUE)
def test_unique_similar_ids_are_two_rows(db, model, column, similar):
    model.objects.create(**{column: "ab"})
    model.objects.create(**{column: similar})
    stored = model.objects.filter(**{f"{column}__in": ["ab", similar]})
    assert set(stored.values_list(column, flat=True)) == {"ab", similar}


@pytest.mark.parametrize(("model", "column"), UNIQUE)
def test_unique_same_id_twice_is_refused(db, model, column):
    model.objects.create(**{column: "ab "})
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.create(**{column: "ab "})


@pytest.mark.parametrize(
    ("vendor", "is_mariadb", "collation"),
    [
        pytest.param("mysql", True, "utf8mb4_nopad_bin", id="mariadb"),
        pytest.param("mysql", False, "utf8mb4_0900_bin", id="mysql"),
        pytest.param("postgresql", False, None, id="postgresql"),
        pytest.param("sqlite", False, None, id="sqlite"),
    ],
)
def test_collation_of_each_server(monkeypatch, vendor, is_mariadb, collation):
    monkeypatch.setattr(connection, "vendor", vendor)
    monkeypatch.setattr(connection, "mysql_is_mariadb", is_mariadb, raising=False)
    assert IdentifierField(max_length=9).db_parameters(connection)["collation"] == collation
