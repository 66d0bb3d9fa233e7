"""The rows of connections: the same, in whatever order and however often they are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import reduce
from itertools import count, permutations

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medblocks_connect.attempts import connection_rows
from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.connection_state import (
    conclude_place,
    merge_links,
    tell_link,
)
from medblocks_connect.attempts.evidence import PlaceEvidence
from medblocks_connect.attempts.place_ids import adopt_place_ids, rename_place
from medblocks_connect.models import ConnectionLink, PatientConnection, PatientConnectionAttempt
from medblocks_connect.timezones import to_utc

pytestmark = pytest.mark.django_db

URL = "https://fhir.riverside.example/r4"
PLACE = "fhirsrc_riverside"
# Where microseconds are cut off, or come back as others, it shows.
START = datetime(2026, 11, 1, 10, 0, 0, 123457, tzinfo=timezone.utc)
STATUSES = ("active", "refresh_failed", "disconnected", "expired", "brand_new")
patients = count()


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


moments = st.integers(min_value=0, max_value=5).map(after)
words = st.builds(
    tell_link,
    st.sampled_from(STATUSES),
    moments,
    since=st.none() | moments,
    lost_at=st.none() | moments,
    is_ended_here=st.booleans(),
)
links = st.dictionaries(st.sampled_from(["conn_1", "conn_2", "conn_3"]), words, max_size=3)
pieces = st.builds(
    PlaceEvidence,
    st.just(URL),
    links,
    records_at=st.none() | moments,
    records_failed_at=st.none() | moments,
    asked_at=st.none() | moments,
)
# A place has a row once a link of it is told: what tells none waits, as a delivery does.
stories = st.lists(pieces, min_size=1, max_size=6).filter(lambda told: told[0].links)
# Each example is a few dozen statements: how many of them are worth their time.
thorough = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def record(patient_id, place, attempt=None):
    with transaction.atomic():
        return record_places(patient_id, [place], attempt, "default").is_complete


def read_row(patient_id):
    """Return what the one row of the patient holds, in UTC, with its links."""
    row = PatientConnection.objects.get(patient_id=patient_id)
    columns = ("since", "lost_at", "records_at", "records_failed_at", "asked_at")
    times = {name: to_utc(at) if (at := getattr(row, name)) else None for name in columns}
    links = sorted(row.links.values_list("patient_connection_id", flat=True))
    words = (row.place_id, row.state, row.status, row.was_ended_here, row.attempt_id)
    return {**times, "words": words, "links": links}


def conclude(place_id, story, attempts=()):
    """Return the same, computed from all that was told, at once and in memory."""
    states = {}
    for piece in story:
        for link_id, told in piece.links.items():
            states[link_id] = reduce(merge_links, [states.get(link_id, told), told])
    place = conclude_place([*states.values()])
    telling = [each.pk for each, piece in zip(attempts, story, strict=True) if each and piece.links]
    names = ("records_at", "records_failed_at", "asked_at")
    times = {
        name: max(filter(None, (getattr(piece, name) for piece in story)), default=None)
        for name in names
    }
    words = (place_id, place.state, place.status, place.was_ended_here, max(telling, default=None))
    since = {"since": place.since, "lost_at": place.lost_at}
    return {**times, **since, "words": words, "links": sorted(states)}


def make_attempts(patient_id):
    """Two attempts of the same patient, and what nobody's attempt tells."""
    make = PatientConnectionAttempt.objects.create
    return [None, *(make(patient_id=patient_id, connection_id=URL) for _ in range(2))]


def tell_in_any_order(data, story, teller):
    """Return ``story`` shuffled, with duplicates, and whose attempt tells each piece."""
    told = [*zip(story, teller, strict=True)]
    told += data.draw(st.lists(st.sampled_from(told), max_size=2))
    told = data.draw(st.permutations(told))
    first = next(index for index, (piece, _) in enumerate(told) if piece.links)
    return [*told[first:], *told[:first]]


@thorough
@given(st.data(), stories)
def test_row_is_what_all_that_was_told_concludes_in_any_order(data, story):
    patient_id = f"p-{next(patients)}"
    attempts = make_attempts(patient_id)
    teller = [data.draw(st.sampled_from(attempts)) for _ in story]
    for piece, attempt in tell_in_any_order(data, story, teller):
        record(patient_id, piece, attempt)
    assert read_row(patient_id) == conclude(URL, story, teller)


@thorough
@given(st.data(), stories)
def test_row_is_the_same_whenever_its_place_is_renamed(data, story):
    patient_id = f"p-{next(patients)}"
    teller = [data.draw(st.sampled_from(make_attempts(patient_id))) for _ in story]
    told = tell_in_any_order(data, story, teller)
    renamed_after = data.draw(st.integers(min_value=0, max_value=len(told)))
    for number, (piece, attempt) in enumerate(told):
        if number == renamed_after:
            rename_place(URL, PLACE, "default")
        # What was read before the rename may be written after it.
        named = data.draw(st.sampled_from([URL, PLACE]))
        record(patient_id, replace(piece, place_id=named), attempt)
        if not record(patient_id, replace(piece, place_id=named), attempt):
            record(patient_id, replace(piece, place_id=URL if named == PLACE else PLACE), attempt)
    rename_place(URL, PLACE, "default")
    assert read_row(patient_id) == conclude(PLACE, story, teller)
    rename_place(URL, PLACE, "default")
    assert read_row(patient_id) == conclude(PLACE, story, teller)


@override_settings(USE_TZ=False, TIME_ZONE="America/New_York")
@thorough
@given(st.data(), stories)
def test_row_is_the_same_where_a_host_keeps_its_own_time(data, story):
    patient_id = f"p-{next(patients)}"
    teller = [data.draw(st.sampled_from(make_attempts(patient_id))) for _ in story]
    for piece, attempt in tell_in_any_order(data, story, teller):
        record(patient_id, piece, attempt)
    assert read_row(patient_id) == conclude(URL, story, teller)


def active(minutes: float = 0):
    return tell_link("active", after(minutes), since=START)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_connection_leads_to_the_newest_attempt_in_every_order(make_attempt, order):
    older, newer = (make_attempt(patient_session_id=f"ps_{number}") for number in range(2))
    told = [
        (tell_link("active", START), older),
        (tell_link("active", after(1)), newer),
        (tell_link("refresh_failed", after(2)), None),  # by Medblocks' list
    ]
    for word, attempt in (told[index] for index in order):
        record("p-1", PlaceEvidence(PLACE, {"conn_1": word}), attempt)
    assert PatientConnection.objects.get().attempt == newer


def test_link_that_is_told_under_medblocks_id_renames_its_place(db):
    record("p-1", PlaceEvidence(URL, {"conn_1": active()}))
    record("p-1", PlaceEvidence(PLACE, {"conn_1": active(1)}))
    assert [each.place_id for each in PatientConnection.objects.all()] == [PLACE]


def test_link_that_is_told_under_a_former_url_stays_at_its_place(db):
    record("p-1", PlaceEvidence(PLACE, {"conn_1": active()}))
    record("p-1", PlaceEvidence(URL, {"conn_1": tell_link("expired", after(1))}))
    row = PatientConnection.objects.get()
    assert (row.place_id, row.state) == (PLACE, "lost")


def test_link_of_somebody_else_names_no_place(db):
    record("p-1", PlaceEvidence(URL, {"conn_1": active()}))
    record("p-2", PlaceEvidence(PLACE, {"conn_1": active()}))
    places = PatientConnection.objects.values_list("patient_id", "place_id")
    assert set(places) == {("p-1", URL), ("p-2", PLACE)}


def test_place_at_a_url_and_at_an_id_becomes_one(db):
    record("p-1", PlaceEvidence(URL, {"conn_1": active()}, records_at=after(2)))
    record("p-1", PlaceEvidence(PLACE, {"conn_2": active(1)}, connection_name="Riverside"))
    rename_place(URL, PLACE, "default")
    row = PatientConnection.objects.get()
    assert (row.place_id, row.connection_name, row.links.count()) == (PLACE, "Riverside", 2)
    assert to_utc(row.records_at) == after(2)


def test_place_without_an_attempt_is_renamed_by_a_sync(add_catalog, db):
    add_catalog(("Riverside", "epic"), fhir_base_url=URL)
    record("p-1", PlaceEvidence(URL, {"conn_1": active()}))
    assert adopt_place_ids() == 1
    assert PatientConnection.objects.get().place_id == "fhirsrc_0"
    assert adopt_place_ids() == 0


def test_records_without_a_row_are_told_to_the_caller(db):
    assert not record("p-1", PlaceEvidence(PLACE, records_at=START))
    assert not PatientConnection.objects.exists()


def test_row_that_somebody_else_inserts_first_is_merged_into(monkeypatch):
    """As where another process' row is committed between the look and the insertion."""
    lock_rows, looks = connection_rows._lock_rows, []

    def see_nothing_at_first(*args):
        looks.append(args)
        if len(looks) > 1:
            return lock_rows(*args)
        PatientConnection.objects.create(patient_id="p-1", place_id=PLACE, state="lost")
        return []

    monkeypatch.setattr(connection_rows, "_lock_rows", see_nothing_at_first)
    record("p-1", PlaceEvidence(PLACE, {"conn_1": active()}))
    assert PatientConnection.objects.get().state == "connected"
    assert ConnectionLink.objects.count() == 1


def test_row_that_cannot_be_inserted_is_an_error(monkeypatch):
    monkeypatch.setattr(connection_rows, "_lock_rows", lambda *_: [])
    PatientConnection.objects.create(patient_id="p-1", place_id=PLACE, state="lost")
    with pytest.raises(IntegrityError):
        record("p-1", PlaceEvidence(PLACE, {"conn_1": active()}))
