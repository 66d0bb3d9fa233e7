"""The local catalog, and the building of its index."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import timedelta
from itertools import chain
from threading import Thread

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from medblocks_connect.facilities import catalog as catalog_module
from medblocks_connect.facilities.catalog import find_catalog, get_index, is_too_old
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.models import CatalogSync, Facility, MissingFacility

pytestmark = pytest.mark.django_db


def finish(**changes):
    base_url = changes.pop("base_url", "http://127.0.0.1:9")
    return CatalogSync.objects.create(
        base_url=base_url, **{"finished_at": timezone.now(), **changes}
    )


def test_no_sync_is_no_catalog():
    Facility.objects.create(connection_id="fhirsrc_1", name="Left over")
    assert find_catalog() is None
    assert get_index() is None


def test_unfinished_sync_is_no_catalog():
    finish(finished_at=None)
    assert find_catalog() is None


def test_catalog_of_another_medblocks_is_not_used(add_catalog, settings):
    add_catalog()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": "https://other.example",
    }
    assert get_index() is None


def test_index_omits_withdrawn_facilities(add_catalog):
    rows = add_catalog(("Riverside", "epic"), ("Lakeside", "epic"))
    Facility.objects.filter(pk=rows[1].pk).update(withdrawn_at=timezone.now())
    index = get_index()
    assert list(index.keys) == [rows[0].pk]


def test_same_catalog_is_indexed_once(add_catalog):
    add_catalog()
    assert get_index() is get_index()


def test_new_catalog_version_is_indexed_again(add_catalog):
    add_catalog()
    first = get_index()
    Facility.objects.create(connection_id="fhirsrc_new", name="Newly Opened")
    finish()
    second = get_index()
    assert second is not first
    assert len(second) == len(first) + 1


def test_changed_aliases_are_indexed_again(add_catalog, settings):
    add_catalog()
    first = get_index()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "FACILITY_ALIASES": {"the River": "fhirsrc_0"},
    }
    assert len(get_index()) == len(first) + 1


def test_index_that_is_built_takes_one_query(add_catalog, django_assert_num_queries):
    add_catalog()
    get_index()
    with django_assert_num_queries(1):
        get_index()


@pytest.mark.parametrize(("days", "too_old"), [(6.9, False), (7.1, True)])
def test_catalog_older_than_a_week_is_too_old(days, too_old):
    catalog = finish(finished_at=timezone.now() - timedelta(days=days))
    assert is_too_old(catalog) is too_old


def test_old_catalog_is_warned_of_once_an_hour(caplog):
    finish(finished_at=timezone.now() - timedelta(days=8))
    with caplog.at_level(logging.WARNING, "medblocks_connect.facilities"):
        get_index()
        get_index()
    assert [record.getMessage() for record in caplog.records] == [
        "The catalog of facilities is older than 7 days: run manage.py medblocks_sync_facilities"
    ]


@pytest.mark.django_db(transaction=True)
def test_index_is_shared_by_threads(add_catalog):
    add_catalog()
    get_index()  # so that no thread has to build it
    found = []

    def look():
        found.append(get_index())
        connection.close()

    threads = [Thread(target=look) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(index) for index in found} == {id(get_index())}


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_to_write_while_names_are_ranked(monkeypatch, django_assert_num_queries):
    """On SQLite a page that counts a missed search once waited for half of an index's build."""
    finish()
    Facility.objects.bulk_create(
        Facility(connection_id=f"fhirsrc_{number}", name=f"Riverside {number}")
        for number in range(10_000)
    )
    get_index()  # what is remembered in a process is asked for
    finish()  # a new version
    failures = []

    def write():
        try:
            MissingFacility.objects.create(text="Lakeside", folded="lakeside")
        except OperationalError as error:
            failures.append(error)
        connection.close()

    class WatchedIndex(FacilityIndex):
        def __init__(self, entries):
            entries = iter(entries)
            first = next(entries)
            writer = Thread(target=write)
            writer.start()
            writer.join()
            super().__init__(chain([first], entries))

    monkeypatch.setattr(catalog_module, "FacilityIndex", WatchedIndex)
    with django_assert_num_queries(2):  # the version, and all names
        assert len(get_index()) == 10_000
    assert not failures
    assert MissingFacility.objects.count() == 1


def test_old_index_serves_while_another_thread_builds(add_catalog):
    add_catalog()
    first = get_index()
    finish()
    with catalog_module._find_workspace_index().lock:
        assert get_index() is first
    assert get_index() is not first


@pytest.fixture
def move(monkeypatch):
    """Move to another database, such as the next tenant's schema."""

    def move_to(installation_id):
        monkeypatch.setattr(catalog_module, "find_installation_id", lambda: installation_id)

    return move_to


@pytest.fixture(autouse=True)
def indexes(monkeypatch):
    """What a process keeps, which has just begun."""
    kept = OrderedDict()
    monkeypatch.setattr(catalog_module, "_indexes", kept)
    return kept


def test_index_of_another_database_serves_nobody_while_one_is_built(add_catalog, move):
    """A search for "zebra eye institute" in one tenant once gave a place of the other's."""
    add_catalog()
    move("of tenant A")
    of_a = get_index()
    with catalog_module._find_workspace_index().lock:  # A's is built anew
        move("of tenant B")
        of_b = get_index()  # waits for nobody
    assert of_b is not of_a


def test_index_of_each_database_is_kept(add_catalog, move):
    add_catalog()
    seen = []
    for installation_id in ("A", "B") * 3:
        move(installation_id)
        seen.append(get_index())
    assert len({id(index) for index in seen}) == 2


def test_idle_index_is_dropped(add_catalog, move, indexes):
    add_catalog()
    for number in range(20):
        move("busy")
        busy = get_index()
        move(f"tenant {number}")
        get_index()
    assert len(indexes) == catalog_module._INDEXES_MAX
    move("busy")
    assert get_index() is busy
