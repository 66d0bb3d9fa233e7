"""What the end of a link means for the attempt that connected its place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.losses import tell_loss
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection
from medblocks_connect.models import ConnectionLink, PatientConnection
from tests.attempts.conftest import FACILITY
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db

BEGAN = timezone.now() - timedelta(hours=5)


@pytest.fixture
def hosted():
    """An attempt whose session was over an hour after it began."""
    return create_attempt(
        patient_id="p-1",
        connection_id=FACILITY,
        is_hosted=True,
        patient_session_id="ps_1",
        status="succeeded",
        patient_connection_id="conn_1",
        connection_status="active",
        created_at=BEGAN,
        settled_at=BEGAN + timedelta(hours=1),
    )


def add_link(made_at: timedelta) -> None:
    row = PatientConnection.objects.get()
    columns = {"status": "active", "as_of": timezone.now(), "since": BEGAN + made_at}
    row.links.create(patient_connection_id="conn_2", **columns)


def decides() -> bool:
    """Return whether the loss of the attempt's own link says that the attempt lost its access."""
    link = ConnectionLink.objects.get(patient_connection_id="conn_1")
    lost = Outcome(connection=OutcomeConnection("refresh_failed", "conn_1"))
    return tell_loss(link, Evidence(Source.WEBHOOK, Kind.LOST, lost)).outcome == lost


def test_loss_decides_nothing_while_another_link_of_the_session_works(hosted):
    add_link(made_at=timedelta(minutes=30))
    assert not decides()


def test_loss_decides_where_the_other_link_was_made_after_the_session(hosted):
    add_link(made_at=timedelta(hours=2))
    assert decides()


def test_loss_decides_where_the_other_link_is_of_another_attempt(hosted):
    add_link(made_at=timedelta(minutes=30))
    create_attempt(patient_id="p-1", status="failed", patient_connection_id="conn_2")
    assert decides()
