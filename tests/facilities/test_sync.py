"""Bringing the catalog here: all of it or nothing, polite, and gone on with after a break."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
import responses
from django.core.management import CommandError, call_command
from django.utils import timezone

from medblocks_connect.api import MedblocksError
from medblocks_connect.facilities import sync as sync_module
from medblocks_connect.facilities.sync import SyncError, SyncRunningError, sync_catalog
from medblocks_connect.models import CatalogPage, CatalogSync, Facility

pytestmark = pytest.mark.django_db(transaction=True)

BASE_URL = "https://medblocks.example"
CONNECTIONS = f"{BASE_URL}/connections"


def facility_json(number, **changes):
    return {
        "id": f"fhirsrc_{number}",
        "resource_type": "fhir_source",
        "name": f"Hospital {number}",
        "type": "epic",
        "fhir_base_url": f"https://fhir-{number}.example/r4",
        "logo_url": None,
        "portal_url": None,
        **changes,
    }


class FakeMedblocks:
    """Medblocks with a catalog in pages of two, which fails where a test says so."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.facilities = [facility_json(number) for number in range(5)]
        self.fail_at: dict[str, tuple[int, dict[str, str]]] = {}  # by cursor
        self.fails_once = False
        self.tells_cursor = True
        self.slept: list[float] = []
        self.asked: list[dict[str, str]] = []
        mock.add_callback(responses.GET, CONNECTIONS, self.answer)

    def answer(self, request):
        self.asked.append(dict(request.params))
        cursor = request.params.get("starting_after", "")
        if cursor in self.fail_at:
            status, headers = self.fail_at[cursor]
            if self.fails_once:
                del self.fail_at[cursor]
            error = {"type": "any", "code": "bad_request", "message": "no", "param": None}
            return status, headers, json.dumps({"error": error})
        start = int(cursor or 0)
        page = self.facilities[start : start + 2]
        has_more = start + 2 < len(self.facilities)
        body = {
            "resource_type": "list",
            "data": page,
            "has_more": has_more,
            "next_cursor": str(start + 2) if has_more and self.tells_cursor else None,
        }
        return 200, {}, json.dumps(body)


@pytest.fixture
def medblocks(settings, monkeypatch):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": BASE_URL,
        "MAX_RETRIES": 0,
    }
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        fake = FakeMedblocks(mock)
        monkeypatch.setattr(sync_module.time, "sleep", fake.slept.append)
        yield fake


def live_names():
    live = Facility.objects.filter(withdrawn_at=None)
    return sorted(live.values_list("name", flat=True))


def test_sync_fetches_every_page(medblocks):
    sync = sync_catalog()
    assert live_names() == [f"Hospital {number}" for number in range(5)]
    assert (sync.fetched, sync.added, sync.changed, sync.withdrawn) == (5, 5, 0, 0)
    assert sync.finished_at is not None


def test_sync_asks_for_100_and_pauses_between_pages(medblocks):
    sync_catalog(pause=0.25)
    assert [each["limit"] for each in medblocks.asked] == ["100"] * 3
    assert medblocks.slept == [0.25, 0.25]


def test_sync_keeps_every_field(medblocks):
    medblocks.facilities = [
        facility_json(
            1,
            type=None,
            logo_url="https://logo.example/1.png",
            portal_url="https://portal.example",
        )
    ]
    sync_catalog()
    row = Facility.objects.get()
    assert (row.connection_id, row.type) == ("fhirsrc_1", "")
    assert row.fhir_base_url == "https://fhir-1.example/r4"
    assert (row.logo_url, row.portal_url) == (
        "https://logo.example/1.png",
        "https://portal.example",
    )


def test_second_sync_counts_new_changed_and_withdrawn(medblocks):
    sync_catalog()
    kept = Facility.objects.get(connection_id="fhirsrc_1")
    medblocks.facilities[0]["name"] = "Renamed"
    del medblocks.facilities[4]
    medblocks.facilities.append(facility_json(9))
    sync = sync_catalog()
    assert (sync.added, sync.changed, sync.withdrawn) == (1, 1, 1)
    assert live_names() == ["Hospital 1", "Hospital 2", "Hospital 3", "Hospital 9", "Renamed"]
    assert Facility.objects.get(connection_id="fhirsrc_4").withdrawn_at is not None
    assert Facility.objects.get(connection_id="fhirsrc_1").changed_at == kept.changed_at


def test_withdrawn_facility_comes_back(medblocks):
    sync_catalog()
    last = medblocks.facilities.pop()
    sync_catalog()
    medblocks.facilities.append(last)
    sync = sync_catalog()
    assert (sync.added, sync.changed) == (0, 1)
    assert len(live_names()) == 5


def test_facility_listed_twice_is_one_row(medblocks):
    medblocks.facilities.append(facility_json(0, name="Told again"))
    sync = sync_catalog()
    assert sync.fetched == 5
    assert "Told again" in live_names()


def test_broken_sync_leaves_the_catalog_as_it_was(medblocks):
    sync_catalog()
    medblocks.facilities = [facility_json(number, name="New") for number in range(5)]
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    assert live_names() == [f"Hospital {number}" for number in range(5)]


def test_broken_sync_is_resumed(medblocks):
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    medblocks.fail_at.clear()
    medblocks.asked.clear()
    sync_catalog()
    assert [each.get("starting_after") for each in medblocks.asked] == ["4"]
    assert len(live_names()) == 5
    assert not CatalogPage.objects.exists()


def test_restart_begins_anew(medblocks):
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    medblocks.fail_at.clear()
    medblocks.asked.clear()
    sync_catalog(restart=True)
    assert len(medblocks.asked) == 3


def test_sync_of_yesterday_begins_anew(medblocks):
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    CatalogSync.objects.update(started_at=timezone.now() - timedelta(hours=25))
    medblocks.fail_at.clear()
    medblocks.asked.clear()
    sync_catalog()
    assert len(medblocks.asked) == 3


def test_cursor_that_means_nothing_any_more_begins_anew(medblocks):
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    medblocks.fail_at["4"] = (400, {})
    medblocks.fails_once = True
    medblocks.asked.clear()
    sync_catalog()
    assert [each.get("starting_after") for each in medblocks.asked] == ["4", None, "2", "4"]
    assert len(live_names()) == 5


def test_rate_limit_is_waited_for_as_medblocks_asks(medblocks):
    medblocks.fail_at["2"] = (429, {"Retry-After": "7"})
    medblocks.fails_once = True
    sync_catalog(pause=0.0)
    assert medblocks.slept == [0.0, 7.0, 0.0]
    assert len(live_names()) == 5


def test_refused_key_is_not_tried_again(medblocks):
    medblocks.fail_at[""] = (401, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    assert len(medblocks.asked) == 1


def test_page_with_more_but_no_cursor_fails(medblocks):
    medblocks.tells_cursor = False
    with pytest.raises(SyncError, match="not where"):
        sync_catalog()
    assert not Facility.objects.exists()


def test_empty_catalog_is_refused(medblocks):
    medblocks.facilities = []
    with pytest.raises(SyncError, match="0 facilities"):
        sync_catalog()
    assert not CatalogSync.objects.exists()


def test_catalog_that_lost_more_than_half_is_refused(medblocks):
    sync_catalog()
    del medblocks.facilities[2:]
    with pytest.raises(SyncError, match="--accept-shrink"):
        sync_catalog()
    assert len(live_names()) == 5


def test_catalog_that_lost_more_than_half_is_taken_with_accept_shrink(medblocks):
    sync_catalog()
    del medblocks.facilities[2:]
    sync_catalog(accept_shrink=True)
    assert len(live_names()) == 2


def test_second_sync_at_the_same_time_is_refused(medblocks):
    CatalogSync.objects.create(base_url=BASE_URL)
    with pytest.raises(SyncRunningError, match="Another sync"):
        sync_catalog()


def test_sync_that_died_is_taken_over_after_its_lease(medblocks):
    long_ago = timezone.now() - timedelta(minutes=5)
    CatalogSync.objects.create(base_url=BASE_URL, heard_at=long_ago)
    sync_catalog()
    assert len(live_names()) == 5


def test_another_medblocks_replaces_the_catalog(medblocks, settings):
    Facility.objects.create(connection_id="fhirsrc_sandbox", name="Sandbox")
    CatalogSync.objects.create(base_url="https://other.example", finished_at=timezone.now())
    sync_catalog()
    assert "Sandbox" not in live_names()


def test_run_that_was_overtaken_changes_nothing(medblocks, monkeypatch):
    def sleep(_seconds):
        monkeypatch.setattr(sync_module.time, "sleep", lambda _seconds: None)
        long_ago = timezone.now() - timedelta(minutes=5)
        CatalogSync.objects.update(heard_at=long_ago)  # as if this had stalled
        sync_catalog()

    monkeypatch.setattr(sync_module.time, "sleep", sleep)
    with pytest.raises(SyncRunningError, match="took this sync over"):
        sync_catalog()
    assert live_names() == [f"Hospital {number}" for number in range(5)]
    assert [sync.fetched for sync in CatalogSync.objects.exclude(finished_at=None)] == [5]


def test_run_that_was_overtaken_does_not_release_the_other(medblocks, monkeypatch):
    taken_up = timezone.now()

    def sleep(_seconds):
        CatalogSync.objects.update(heard_at=taken_up)

    monkeypatch.setattr(sync_module.time, "sleep", sleep)
    with pytest.raises(SyncRunningError, match="took this sync over"):
        sync_catalog()
    assert CatalogSync.objects.get().heard_at == taken_up


@pytest.mark.parametrize("seconds_asked", [60, 3600])
def test_long_wait_is_waited_in_full_and_renews_the_lease(medblocks, monkeypatch, seconds_asked):
    medblocks.fail_at[""] = (429, {"Retry-After": str(seconds_asked)})
    medblocks.fails_once = True
    heard = []

    def sleep(seconds):
        heard.append((seconds, CatalogSync.objects.get().heard_at))

    monkeypatch.setattr(sync_module.time, "sleep", sleep)
    sync_catalog(pause=0.0)
    assert sum(seconds for seconds, _heard_at in heard) == seconds_asked
    assert max(seconds for seconds, _heard_at in heard) == 20.0
    assert len({heard_at for _seconds, heard_at in heard[:3]}) == 3


def test_wait_of_more_than_an_hour_ends_the_run(medblocks):
    medblocks.fail_at["2"] = (429, {"Retry-After": "3601"})
    with pytest.raises(MedblocksError):
        sync_catalog(pause=0.0)
    assert medblocks.slept == [0.0]
    assert len(medblocks.asked) == 2


def test_sync_with_a_lost_page_begins_anew(medblocks):
    medblocks.fail_at["4"] = (500, {})
    with pytest.raises(MedblocksError):
        sync_catalog()
    medblocks.fail_at.clear()
    CatalogPage.objects.filter(number=2).delete()
    with pytest.raises(SyncError, match="Run again"):
        sync_catalog()
    assert not Facility.objects.exists()
    sync_catalog()
    assert len(live_names()) == 5


def test_same_facility_many_times_is_counted_once(medblocks):
    sync_catalog()
    medblocks.facilities = [facility_json(0)] * 5
    with pytest.raises(SyncError, match="gave 1 facilities where 5"):
        sync_catalog()
    assert len(live_names()) == 5


@pytest.mark.parametrize(
    "bad",
    [
        {"id": None},
        {"id": "x" * 501},
        {"id": "fhirsrc_\x00"},
        {"name": 5},
        {"type": ["epic"]},
    ],
)
def test_facility_that_cannot_be_read_is_left_out(medblocks, caplog, bad):
    medblocks.facilities[3] = facility_json(3, **bad)
    with caplog.at_level(logging.WARNING, "medblocks_connect.facilities"):
        sync = sync_catalog()
    assert live_names() == ["Hospital 0", "Hospital 1", "Hospital 2", "Hospital 4"]
    assert sync.fetched == 4
    assert [record.getMessage() for record in caplog.records] == [
        "1 facilities that Medblocks lists cannot be read: left out"
    ]


@pytest.mark.parametrize(
    ("unreadable", "readable", "is_taken"), [(10, 5, True), (11, 5, False), (11, 1089, True)]
)
def test_many_that_cannot_be_read_are_refused(medblocks, unreadable, readable, is_taken):
    medblocks.facilities = [facility_json(number) for number in range(readable)]
    medblocks.facilities += [facility_json(None, id=None)] * unreadable
    if is_taken:
        sync_catalog()
    else:
        with pytest.raises(SyncError, match="11 of 16 facilities cannot be read"):
            sync_catalog()
    assert Facility.objects.count() == (readable if is_taken else 0)


@pytest.mark.parametrize("pause", [-1.0, 61.0, float("nan")])
def test_pause_out_of_bounds_is_refused(pause):
    with pytest.raises(ValueError, match="0 to 60"):
        sync_catalog(pause=pause)


def test_command_prints_the_counts(medblocks, capsys):
    call_command("medblocks_sync_facilities", pause=0)
    assert capsys.readouterr().out == "5 facilities: 5 new, 0 changed, 0 withdrawn.\n"


def test_command_fails_with_a_reason_and_no_key(medblocks):
    medblocks.fail_at[""] = (401, {})
    with pytest.raises(CommandError, match="not synced") as failed:
        call_command("medblocks_sync_facilities")
    assert "mb_sk" not in str(failed.value)


def test_command_that_meets_another_sync_is_no_error_and_says_so(medblocks, capsys):
    CatalogSync.objects.create(base_url=BASE_URL)
    call_command("medblocks_sync_facilities")
    assert capsys.readouterr().out == (
        "Nothing done: Another sync is running. Its catalog is the one that counts.\n"
    )
    assert medblocks.asked == []


def test_quiet_command_that_meets_another_sync_says_nothing(medblocks, capsys):
    CatalogSync.objects.create(base_url=BASE_URL)
    call_command("medblocks_sync_facilities", verbosity=0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("pause", [-1.0, 61.0])
def test_command_refuses_a_pause_out_of_bounds(medblocks, pause):
    with pytest.raises(CommandError, match="--pause"):
        call_command("medblocks_sync_facilities", pause=pause)


def test_command_shows_a_bar_on_a_terminal(medblocks, capsys, monkeypatch):
    sync_catalog()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    call_command("medblocks_sync_facilities", pause=0)
    assert "[##############################] 5 of about 5" in capsys.readouterr().err


def test_sync_of_another_workspace_leaves_this_ones_facilities(medblocks, settings):
    sync_catalog()
    interrupted = CatalogSync.objects.create(base_url=BASE_URL, heard_at=None)
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WORKSPACE": "north"}
    medblocks.facilities = [facility_json(1, name="Of North")]
    sync = sync_catalog()  # so much smaller, it is no shrunken catalog of ours
    assert (sync.added, sync.changed, sync.withdrawn) == (1, 0, 0)
    assert Facility.objects.filter(workspace="sandbox", withdrawn_at=None).count() == 5
    assert CatalogSync.objects.filter(pk=interrupted.pk).exists()


class WriterRouter:
    """A router that reads the catalog from a replica; whoever does in a sync fails."""

    def db_for_read(self, model, **hints):
        return "replica" if model in {CatalogPage, CatalogSync, Facility} else None

    def db_for_write(self, model, **hints):
        return "default"


def test_sync_case_58_reads_where_it_writes(medblocks, settings):
    settings.DATABASE_ROUTERS = [WriterRouter()]
    try:
        first, second = sync_catalog(), sync_catalog()
    finally:
        settings.DATABASE_ROUTERS = []
    assert (first.added, second.added, second.changed) == (5, 0, 0)
