"""Logs above DEBUG of a whole journey and its failures: nobody's name, no key."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from medblocks_connect.patients import Patient
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.api_faults import queue_fault
from medblocks_connect.views.webhook_receiver import refusal_log
from tests.faults.clinic import KEY
from tests.faults.events import SECRET, completed, event, lost, synced

PATIENT_ID, EMAIL, NAME = "pat-9c2e77", "bea.mori@mail.example", "Beatrix Morimoto"
ACTOR = "nurse.kim@clinic.example"

pytestmark = pytest.mark.django_db(transaction=True)


def name_patient(request):
    if not request.user.is_authenticated:
        return None
    return Patient(PATIENT_ID, email=EMAIL, name=NAME, actor=ACTOR)


class Recorder(logging.Handler):
    """Keeps every record, as the most talkative formatter would print it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG + 1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The request that Django hangs on a record is the host's to print or not.
        extras = {name: value for name, value in vars(record).items() if name != "request"}
        self.lines.append(f"{self.format(record)} {extras!r}")


@pytest.fixture
def recorder():
    recorder = Recorder()
    root = logging.getLogger()
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    yield recorder
    root.removeHandler(recorder)
    root.setLevel(level)


def go_every_way(clinic) -> list[str]:
    """Succeed, fail and break in every way; return the secrets that arose."""
    clinic.client.raise_request_exception = False
    clinic.started()
    link = flows.approve(clinic.session)
    secrets = [clinic.session.token]
    clinic.come_back()
    clinic.come_back(Client())
    clinic.come_back(success="both")
    clinic.page()
    for payload in (completed(clinic.session), synced(link), lost(link), event("odd", EMAIL)):
        clinic.send(payload)
        clinic.send(payload, signature="t=1,v1=00")
    clinic.send({"id": "evt_bad", "type": "patient_session.completed", "data": EMAIL})
    for status, code in ((401, "invalid_api_key"), (404, EMAIL), (500, "internal_error")):
        queue_fault("create_patient_session", status, code, message=f"{EMAIL} {NAME} {KEY}")
        clinic.start()
    clinic.medblocks.replace("POST", "/patient-sessions", b"{" + EMAIL.encode())
    clinic.start()
    clinic.start_by_json(patient_id=PATIENT_ID)
    clinic.start_by_json(patient_id="another")
    clinic.medblocks.mend()
    clinic.medblocks.lose("POST", "/patient-sessions")
    clinic.start()
    clinic.medblocks.mend()
    clinic.client.get("/records/search/", {"q": NAME})
    clinic.client.get("/records/api/connections/", {"q": NAME})
    clinic.client.get(f"/records/attempts/{PATIENT_ID[:3]}/")
    return [*secrets, clinic.session.token]


def test_logs_of_a_journey_name_nobody(clinic, settings, recorder, monkeypatch):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PATIENT_RESOLVER": f"{__name__}.name_patient",
    }
    refusal_log.forget()
    secrets = go_every_way(clinic)

    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr("medblocks_connect.attempts.webhook_deliveries.write_change", fail)
    flows.approve(clinic.session)
    clinic.send(completed(clinic.session, "evt_broken"))
    clinic.started()
    clinic.send(completed(clinic.session, "evt_broken_2"))
    monkeypatch.setattr("medblocks_connect.views.attempt_page.record_return", fail)
    clinic.come_back()
    log = "\n".join(recorder.lines)
    assert "Webhooks were refused: " in log
    assert "A webhook could not be processed: RuntimeError" in log
    assert "Internal Server Error: /records/return/" in log
    private = (KEY, SECRET, PATIENT_ID, EMAIL, NAME, "Morimoto", ACTOR, *secrets)
    assert [word for word in private if word in log] == []
