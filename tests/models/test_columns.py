"""Values from the client fit into the column that keeps them, and no id is ever shortened."""

from __future__ import annotations

import json

import pytest

from medblocks_connect.api import FhirSource, PatientSession, UnexpectedReplyError
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import (
    AttemptEvent,
    Facility,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.patients import ACTOR_MAX_LENGTH
from tests.attempts.conftest import connection_json, session_json


def read_connection(**changes):
    connection = {**connection_json(), **changes}
    return PatientSession.from_json(session_json(connections=[connection])).connections[0]


def read_facility(**changes):
    return FhirSource.from_json({"id": "fhirsrc_1", "name": "Riverside", **changes})


def read_session_event(session_id):
    about = {"object": session_json(id=session_id)}
    return read_delivery(json.dumps({"type": "patient_session.completed", "data": about}).encode())


def read_loss_event(connection_id):
    about = {"object": {"id": connection_id}}
    return read_delivery(json.dumps({"type": "connection.lost", "data": about}).encode())


def read_event(**parts):
    return read_delivery(json.dumps({"id": "evt_1", **parts}).encode())


def read_id(name, value):
    return {
        "patient_session_id": lambda: PatientSession.from_json(session_json(id=value)).id,
        "patient_connection_id": lambda: read_connection(id=value).id,
        "connection_id": lambda: read_connection(connection_id=value).connection_id,
    }[name]()


def length_of(model, column):
    return model._meta.get_field(column).max_length


@pytest.mark.parametrize("column", ["patient_session_id", "patient_connection_id", "connection_id"])
def test_id_fits_its_column(column):
    longest = "x" * length_of(PatientConnectionAttempt, column)
    assert read_id(column, longest) == longest
    with pytest.raises(UnexpectedReplyError):
        read_id(column, f"{longest}x")


@pytest.mark.parametrize("model", [PatientConnectionAttempt, AttemptEvent])
def test_actor_fits_its_column(model):
    assert length_of(model, "actor") == ACTOR_MAX_LENGTH


def test_facility_id_fits_its_column():
    longest = "x" * length_of(Facility, "connection_id")
    assert read_facility(id=longest).id == longest
    with pytest.raises(UnexpectedReplyError):
        read_facility(id=f"{longest}x")


LONG = "x" * 9999
TEXTS = [
    (PatientConnectionAttempt, "connection_status", lambda: read_connection(status=LONG).status),
    (AttemptEvent, "connection_status", lambda: read_connection(status=LONG).status),
    (PatientConnectionAttempt, "error", lambda: read_connection(failure_code=LONG).failure_code),
    (AttemptEvent, "error", lambda: read_connection(failure_code=LONG).failure_code),
    (PatientConnectionAttempt, "connection_name", lambda: read_facility(name=LONG).name),
    (PatientConnectionAttempt, "connection_type", lambda: read_facility(type=LONG).type),
    (Facility, "name", lambda: read_facility(name=LONG).name),
    (Facility, "type", lambda: read_facility(type=LONG).type),
    (WebhookDelivery, "event_type", lambda: read_event(type=LONG).event_type),
    (WebhookDelivery, "api_version", lambda: read_event(api_version=LONG).api_version),
]


@pytest.mark.parametrize(
    ("model", "column", "read"), TEXTS, ids=[f"{each[0].__name__}.{each[1]}" for each in TEXTS]
)
def test_text_too_long_is_shortened_to_its_column(model, column, read):
    assert len(read()) == length_of(model, column)


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ("event_id", lambda value: read_event(id=value).event_id),
        ("patient_session_id", lambda value: read_session_event(value).patient_session_id),
        ("patient_connection_id", lambda value: read_loss_event(value).patient_connection_id),
    ],
)
def test_delivery_id_too_long_is_not_kept(column, read):
    longest = "x" * length_of(WebhookDelivery, column)
    assert read(longest) == longest
    assert not read(f"{longest}x").startswith("x")
