"""Sync of Medblocks' catalog to the local one: page by page to the side, then all of it at once.

Pages are kept until the last one is there, so that an interrupted sync goes on where it stopped.
The facilities change in one transaction: there is never half a catalog. A run writes only while it
holds the lease of the sync: ``heard_at`` is what it wrote last, and a run that takes over changes
that.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connections, models, router, transaction
from django.utils import timezone

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError, Page
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.facilities.catalog import catalog_base_url, find_catalog
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import CatalogPage, CatalogSync, Facility, filter_workspace

PAGE_SIZE: Final = 100  # the most that Medblocks gives at once
LONGEST_PAUSE: Final = 60.0  # seconds between two calls
RESUMABLE_FOR: Final = timedelta(hours=24)
"""How long an interrupted sync may be resumed; an older cursor may mean nothing."""

_LEASE: Final = timedelta(seconds=90)  # longer than one page can take with its retries
_MOST_TRIES: Final = 5
_RETRY_SECONDS: Final = 5.0  # where Medblocks names none; the client's own retries are quicker
_LONGEST_RETRY_SECONDS: Final = 3600.0  # that a run waits; for longer, it ends
_HEARTBEAT_SECONDS: Final = 20.0  # of a long wait, after which the run renews its lease
_MOST_PAGES: Final = 20_000
_LEAST_SHARE_LEFT: Final = 0.5  # a catalog that loses more at once is likely broken, not smaller
# So many items may be unreadable; of more, and of more than this share, the fault is not theirs.
_FEW_UNREADABLE: Final = 10
_UNREADABLE_SHARE: Final = 0.01
_BATCH: Final = 500
_FIELDS: Final = ("name", "type", "fhir_base_url", "logo_url", "portal_url")

logger = logging.getLogger("medblocks_connect.facilities")

_FacilityFields = dict[str, str]  # of a facility as Medblocks gives it, by name


class SyncError(Exception):
    """The catalog was not synced, and is as it was before. The text says why and what to do."""


class SyncRunningError(SyncError):
    """Another run brings the catalog here, so this one left it alone. Nothing is to be mended."""


def sync_catalog(
    *,
    restart: bool = False,
    accept_shrink: bool = False,
    pause: float = 0.2,
    max_seconds: float | None = None,
    report: Callable[[int], None] = lambda _fetched: None,
) -> CatalogSync:
    """Bring the whole catalog here and return the sync: finished, or with ``finished_at`` None.

    The latter where ``max_seconds`` would pass while pages are fetched: the next run goes on.

    ``restart`` forgets an interrupted sync; ``accept_shrink`` takes a catalog of less than
    half its former size; ``pause`` is the seconds between two calls, 60 at most; ``report`` is
    told how many facilities are fetched. Raises :class:`SyncRunningError` where another run is at
    it, any other :class:`SyncError`, and ``MedblocksError``.
    """
    if not 0 <= pause <= LONGEST_PAUSE:
        raise ValueError(f"pause must be 0 to {LONGEST_PAUSE:.0f} seconds.")
    sync = _acquire_lease(restart=restart)
    with _hold_lease(sync):
        try:
            _fetch_pages(sync, pause, TimeLimit(max_seconds), report)
        except _TimeIsOverError:
            return sync
        facilities, unreadable = _read_pages(sync)
        _check_readable(sync, unreadable)
        _check_size(sync, len(facilities), accept_shrink=accept_shrink)
        _apply_catalog(sync, facilities)
    logger.info(
        "The catalog is synced: %d facilities, %d new, %d changed, %d withdrawn",
        sync.fetched,
        sync.added,
        sync.changed,
        sync.withdrawn,
    )
    return sync


def _acquire_lease(*, restart: bool) -> CatalogSync:
    """Return the interrupted sync, or a new one. Of two runs at once, one is refused."""
    now = timezone.now()
    unfinished = filter_workspace(_find_syncs().filter(finished_at=None))
    if unfinished.filter(heard_at__gt=now - _LEASE).exists():
        raise SyncRunningError("Another sync is running.")
    latest = unfinished.filter(base_url=catalog_base_url()).order_by("-id").first()
    too_old = latest is not None and latest.started_at < now - RESUMABLE_FOR
    if latest is None or restart or too_old:
        unfinished.delete()
        sync = CatalogSync.objects.create(base_url=catalog_base_url())
        if unfinished.filter(pk__lt=sync.pk).exists():
            sync.delete()
            raise SyncRunningError("Another sync has just begun.")
        return sync
    if not unfinished.filter(pk=latest.pk, heard_at=latest.heard_at).update(heard_at=now):
        raise SyncRunningError("Another sync has just begun.")
    latest.heard_at = now
    return latest


class _TimeIsOverError(Exception):
    """The run would take longer than it may."""


@contextmanager
def _hold_lease(sync: CatalogSync) -> Iterator[None]:
    """Hold the sync until this run ends, however it ends: the next one may resume at once then."""
    try:
        yield
    finally:
        _filter_leased(sync).update(heard_at=None)


def _filter_leased(sync: CatalogSync) -> models.QuerySet[CatalogSync]:
    """Return the row of this run's sync; no row where another run has taken over."""
    return _find_syncs().filter(pk=sync.pk, heard_at=sync.heard_at)


def _find_syncs() -> models.QuerySet[CatalogSync]:
    """Return the syncs as they are where they are written; a replica may lag behind."""
    return CatalogSync.objects.using(router.db_for_write(CatalogSync))


def _find_pages(sync: CatalogSync) -> models.QuerySet[CatalogPage]:
    """Return the pages that ``sync`` keeps, where they are written."""
    return CatalogPage.objects.using(router.db_for_write(CatalogPage)).filter(sync=sync)


@contextmanager
def _write_under_lease(sync: CatalogSync, **changes: Any) -> Iterator[None]:
    """Write ``changes`` to the sync, and what the body writes, in one transaction."""
    with transaction.atomic(using=router.db_for_write(CatalogSync)):
        if not _filter_leased(sync).filter(finished_at=None).update(**changes):
            raise SyncRunningError("Another run took this sync over.")
        yield
    for name, value in changes.items():
        setattr(sync, name, value)


def _wait(sync: CatalogSync, seconds: float, time_limit: TimeLimit) -> None:
    """Wait, and renew the lease meanwhile."""
    if not time_limit.fits(seconds):
        raise _TimeIsOverError
    while seconds > _HEARTBEAT_SECONDS:
        time.sleep(_HEARTBEAT_SECONDS)
        seconds -= _HEARTBEAT_SECONDS
        with _write_under_lease(sync, heard_at=timezone.now()):
            pass
    time.sleep(seconds)


def _fetch_pages(
    sync: CatalogSync, pause: float, time_limit: TimeLimit, report: Callable[[int], None]
) -> None:
    is_complete = _find_pages(sync).exists() and not sync.cursor
    cursors: set[str] = set()
    report(sync.fetched)
    while not is_complete:
        page = _fetch_page(sync, time_limit)
        if page.has_more and (not page.next_cursor or page.next_cursor in cursors):
            raise SyncError("Medblocks says that there is more, but not where. Try again later.")
        if len(cursors) >= _MOST_PAGES:
            raise SyncError("The catalog does not end. Tell Medblocks.")
        cursors.add(page.next_cursor)
        _keep_page(sync, page)
        is_complete = not page.has_more
        report(sync.fetched)
        if not is_complete:
            _wait(sync, pause, time_limit)


def _fetch_page(sync: CatalogSync, time_limit: TimeLimit) -> Page[FhirSource]:
    """Ask for the next page, with patience: a whole catalog is not given up for one bad minute."""
    for attempt in range(_MOST_TRIES):
        page = _ask_medblocks(sync, time_limit, is_last_try=attempt == _MOST_TRIES - 1)
        if page is not None:
            return page
    raise SyncError("Medblocks refuses its own cursors. Try again with --restart.")


def _ask_medblocks(
    sync: CatalogSync, time_limit: TimeLimit, *, is_last_try: bool
) -> Page[FhirSource] | None:
    """Return the next page, or None where it is to be asked for again."""
    try:
        return get_command_client().connections.list(limit=PAGE_SIZE, starting_after=sync.cursor)
    except InvalidRequestError:
        if not sync.cursor:
            raise
        # The cursor of an interrupted run means nothing any more: from the beginning.
        with _write_under_lease(sync, cursor="", fetched=0, heard_at=timezone.now()):
            _find_pages(sync).delete()
    except MedblocksError as error:
        seconds = error.retry_after or _RETRY_SECONDS
        if is_last_try or not error.is_temporary or seconds > _LONGEST_RETRY_SECONDS:
            raise
        _wait(sync, seconds, time_limit)
        with _write_under_lease(sync, heard_at=timezone.now()):
            pass
    return None


def _keep_page(sync: CatalogSync, page: Page[FhirSource]) -> None:
    # An unreadable item stays as null, so that it is counted when all is there.
    facilities = [*(asdict(facility) for facility in page.data), *[None] * page.unreadable]
    with _write_under_lease(
        sync,
        cursor=page.next_cursor if page.has_more else "",
        fetched=sync.fetched + len(facilities),
        heard_at=timezone.now(),
    ):
        number = _find_pages(sync).count() + 1
        CatalogPage.objects.create(sync=sync, number=number, facilities=json.dumps(facilities))


def _read_pages(sync: CatalogSync) -> tuple[dict[str, _FacilityFields], int]:
    """Return the facilities by their ids, and how many could not be read."""
    facilities: dict[str, _FacilityFields] = {}
    numbers, fetched, unreadable = [], 0, 0
    for page in _find_pages(sync).order_by("number").iterator(chunk_size=20):
        items: list[_FacilityFields | None] = json.loads(page.facilities)
        numbers.append(page.number)
        fetched += len(items)
        unreadable += items.count(None)
        facilities.update((item["id"], item) for item in items if item is not None)
    if numbers != [*range(1, len(numbers) + 1)] or fetched != sync.fetched:
        _filter_leased(sync).delete()
        raise SyncError("Some of what was fetched is gone. Run again: it begins anew.")
    return facilities, unreadable


def _check_readable(sync: CatalogSync, unreadable: int) -> None:
    if unreadable > max(_FEW_UNREADABLE, sync.fetched * _UNREADABLE_SHARE):
        _filter_leased(sync).delete()
        raise SyncError(
            f"{unreadable} of {sync.fetched} facilities cannot be read: the catalog stays as it "
            "was. Tell Medblocks."
        )
    if unreadable:
        logger.warning("%d facilities that Medblocks lists cannot be read: left out", unreadable)


def _check_size(sync: CatalogSync, fetched: int, *, accept_shrink: bool) -> None:
    database = router.db_for_write(Facility)
    former = find_catalog(database)
    known = filter_workspace(Facility.objects.using(database).filter(withdrawn_at=None))
    before = known.count() if former else 0
    if fetched and (accept_shrink or fetched >= before * _LEAST_SHARE_LEFT):
        return
    _filter_leased(sync).delete()
    raise SyncError(
        f"Medblocks gave {fetched} facilities where {before} are known: the catalog stays as it "
        "was. If that is right, run again with --accept-shrink."
    )


@dataclass
class _Changes:
    """The difference between the catalog that is kept and the one that was fetched."""

    new: list[Facility] = field(default_factory=list)
    changed: list[Facility] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)


def _apply_catalog(sync: CatalogSync, facilities: dict[str, _FacilityFields]) -> None:
    """Make ``facilities`` the catalog, in one transaction that begins with a write.

    What it changes is found out before: SQLite lets nobody else write meanwhile, and a site's own
    writes wait for 5 seconds. Only who has the lease changes facilities.
    """
    now = timezone.now()
    database = router.db_for_write(Facility)
    rows = Facility.objects.using(database).filter(workspace=sync.workspace)
    changes = _compare(rows, facilities, sync.workspace, now)
    with _write_under_lease(sync, finished_at=now, fetched=len(facilities)):
        _write_changes(rows, changes, now)
        sync.added, sync.changed = len(changes.new), len(changes.changed)
        sync.withdrawn = len(changes.gone)
        sync.save(using=database, update_fields=["added", "changed", "withdrawn"])
        _find_pages(sync).delete()
        unfinished = _find_syncs().filter(finished_at=None)
        unfinished.filter(workspace=sync.workspace).delete()


def _compare(
    rows: models.QuerySet[Facility],
    facilities: dict[str, _FacilityFields],
    workspace: str,
    now: datetime,
) -> _Changes:
    changes = _Changes()
    known: set[str] = set()
    for row in rows.iterator(chunk_size=2000):
        fields = facilities.get(row.connection_id)
        known.add(row.connection_id)
        if fields is None:
            if row.withdrawn_at is None:
                changes.gone.append(row.pk)
        elif row.withdrawn_at or any(getattr(row, name) != fields[name] for name in _FIELDS):
            _copy_fields(fields, row)
            row.withdrawn_at, row.changed_at = None, now
            changes.changed.append(row)
    changes.new = [
        _copy_fields(fields, Facility(workspace=workspace, connection_id=key))
        for key, fields in facilities.items()
        if key not in known
    ]
    return changes


def _write_changes(rows: models.QuerySet[Facility], changes: _Changes, now: datetime) -> None:
    rows.bulk_create(changes.new, batch_size=_BATCH)
    # Twenty times as fast as bulk_update(); MySQL takes any unique key and none to be named.
    is_mysql = connections[rows.db].vendor == "mysql"
    rows.bulk_create(
        changes.changed,
        batch_size=_BATCH,
        update_conflicts=True,
        update_fields=[*_FIELDS, "withdrawn_at", "changed_at"],
        unique_fields=None if is_mysql else ["connection_id", "workspace"],
    )
    for start in range(0, len(changes.gone), _BATCH):
        rows.filter(pk__in=changes.gone[start : start + _BATCH]).update(withdrawn_at=now)


def _copy_fields(fields: _FacilityFields, row: Facility) -> Facility:
    for name in _FIELDS:
        setattr(row, name, fields[name])
    return row
