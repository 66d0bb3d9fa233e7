"""The calls about patients and their records: what they refuse, and what they tell nobody."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import pytest
import responses

from medblocks_connect.api import MedblocksClient, NotFoundError, UnexpectedReplyError
from tests.api.conftest import KEY
from tests.api.strict import page
from tests.api.test_resources import PATIENT

BASE = "https://app.medblocks.com"
RECORDS = f"{BASE}/patients/p-1/records"
RECORD = {"source": "fhirsrc_1", "resource": {"resourceType": "Observation", "id": "o-1"}}


@pytest.fixture
def client() -> MedblocksClient:
    return MedblocksClient(KEY, max_retries=0)


def records(*items: Any, patient_id: str = "p-1", **extra: Any) -> dict[str, Any]:
    return {**page(*items), "patient_id": patient_id, "previous_cursor": None, **extra}


@responses.activate
def test_patients_are_iterated_by_email(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/patients", json=page(PATIENT, next_cursor="c"))
    responses.get(f"{BASE}/patients", json=page({**PATIENT, "id": "p-2"}))
    found = [patient.id for patient in client.patients.iterate(email="ann@example.org")]
    assert found == ["p-1234", "p-2"]
    assert "email=ann%40example.org" in responses.calls[1].request.url


@responses.activate
def test_deletion_of_a_patient_who_is_not_there_is_not_found(client: MedblocksClient) -> None:
    responses.delete(f"{BASE}/patients/p-1", status=404)
    with pytest.raises(NotFoundError):
        client.patients.delete("p-1")


@responses.activate
@pytest.mark.parametrize(
    "answer", [{"id": "p-2", "deleted": True}, {"id": "p-1", "deleted": False}, {"id": "p-1"}]
)
def test_deletion_that_is_not_told_is_an_unexpected_reply(
    client: MedblocksClient, answer: Any
) -> None:
    responses.delete(f"{BASE}/patients/p-1", json=answer)
    with pytest.raises(UnexpectedReplyError):
        client.patients.delete("p-1")


@responses.activate
def test_records_are_iterated_by_type(client: MedblocksClient) -> None:
    responses.get(RECORDS, json=records(RECORD, has_more=True, next_cursor="abcdefghijkl"))
    responses.get(RECORDS, json=records(RECORD))
    found = [*client.patients.iterate_records("p-1", type="Observation", count=1)]
    assert [record.resource["id"] for record in found] == ["o-1", "o-1"]
    assert responses.calls[1].request.url.endswith(
        "?type=Observation&count=1&starting_after=abcdefghijkl"
    )


@responses.activate
def test_records_lead_back_to_the_page_before(client: MedblocksClient) -> None:
    responses.get(RECORDS, json=records(RECORD, previous_cursor="abcdefghijkl"))
    assert client.patients.list_records("p-1").previous_cursor == "abcdefghijkl"


@responses.activate
def test_records_of_another_patient_are_an_unexpected_reply(client: MedblocksClient) -> None:
    responses.get(RECORDS, json=records(RECORD, patient_id="p-2"))
    with pytest.raises(UnexpectedReplyError):
        client.patients.list_records("p-1")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"count": 0}, "count"),
        ({"count": 101}, "count"),
        ({"count": True}, "count"),
        ({"since": datetime(2026, 5, 1)}, "since"),  # noqa: DTZ001 - it is what is refused
        ({"starting_after": "a", "ending_before": "b"}, "both"),
    ],
)
def test_impossible_records_raise_value_error(
    client: MedblocksClient, parameters: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        client.patients.list_records("p-1", **parameters)


@responses.activate
def test_log_of_a_patients_calls_names_no_patient(
    client: MedblocksClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    responses.get(RECORDS, json=records(RECORD))
    responses.get(f"{BASE}/patients", json=page(PATIENT))
    responses.delete(f"{BASE}/patients/p-1", status=404, json={"error": {"message": "p-1 is gone"}})
    client.patients.list_records("p-1")
    client.patients.list(patient_id="p-1", email="ann@example.org")
    with pytest.raises(NotFoundError) as caught:
        client.patients.delete("p-1")
    shown = f"{caplog.text} {caught.value.message}"
    for private in ("p-1", "ann@", "o-1"):
        assert private not in shown
