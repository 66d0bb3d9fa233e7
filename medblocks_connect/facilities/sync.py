"""How Medblocks' catalog becomes ours: page by page to the side, then all of it at once.

Pages are kept until the last one is there, so that a sync that was cut short goes on where it
stopped. The facilities change in one transaction: there is never half a catalog. A run writes only
while the sync is its own: ``heard_at`` is what it wrote last, and whoever takes the sync up changes
that.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import models, router, transaction
from django.utils import timezone

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError, Page
from medblocks_connect.facilities.catalog import catalog_base_url, find_catalog
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import CatalogPage, CatalogSync, Facility

PAGE_SIZE: Final = 100  # the most that Medblocks gives at once
LONGEST_PAUSE: Final = 60.0  # seconds between two calls
RESUMABLE_FOR: Final = timedelta(hours=24)
"""How long a sync that was cut short may be gone on with; an older cursor may mean nothing."""

_SIGN_OF_LIFE: Final = timedelta(seconds=90)  # longer than one page can take with its retries
_TRIES: Final = 5
_WAIT: Final = 5.0  # seconds, where Medblocks names none; the client's own retries are quicker
_LONGEST_WAIT: Final = 60.0  # seconds
_BREATH: Final = 20.0  # seconds of a long wait, after which the run says that it is alive
_MOST_PAGES: Final = 20_000
_SHRUNK: Final = 0.5  # a catalog that loses so much at once is more likely broken than smaller
# So many items may be unreadable; of more, and of more than this share, the fault is not theirs.
_FEW_UNREADABLE: Final = 10
_UNREADABLE_SHARE: Final = 0.01
_BATCH: Final = 500
_FIELDS: Final = ("name", "type", "fhir_base_url", "logo_url", "portal_url")

logger = logging.getLogger("medblocks_connect.facilities")

_Told = dict[str, str]  # a facility as Medblocks tells it, by field


class SyncError(Exception):
    """The catalog was not synced, and is as it was before. The text says why and what to do."""


def sync_catalog(
    *,
    restart: bool = False,
    accept_shrink: bool = False,
    pause: float = 0.2,
    report: Callable[[int], None] = lambda _fetched: None,
) -> CatalogSync:
    """Bring the whole catalog here and return the finished sync.

    ``restart`` forgets a sync that was cut short; ``accept_shrink`` takes a catalog of less than
    half its former size; ``pause`` is the seconds between two calls, 60 at most; ``report`` is
    told how many facilities are fetched. Raises :class:`SyncError` and ``MedblocksError``.
    """
    if not 0 <= pause <= LONGEST_PAUSE:
        raise ValueError(f"pause must be 0 to {LONGEST_PAUSE:.0f} seconds.")
    sync = _take_up(restart=restart)
    with _released(sync):
        _fetch(sync, pause, report)
        facilities, unreadable = _read_pages(sync)
        _check_readable(sync, unreadable)
        _check_size(sync, len(facilities), accept_shrink=accept_shrink)
        _apply(sync, facilities)
    logger.info(
        "The catalog is synced: %d facilities, %d new, %d changed, %d withdrawn",
        sync.fetched,
        sync.added,
        sync.changed,
        sync.withdrawn,
    )
    return sync


def _take_up(*, restart: bool) -> CatalogSync:
    """Return the sync that was cut short, or a new one. Of two runs at once, one is refused."""
    now = timezone.now()
    unfinished = CatalogSync.objects.filter(finished_at=None)
    if unfinished.filter(heard_at__gt=now - _SIGN_OF_LIFE).exists():
        raise SyncError("Another sync is running. Wait for it, or try again in two minutes.")
    latest = unfinished.filter(base_url=catalog_base_url()).order_by("-id").first()
    too_old = latest is not None and latest.started_at < now - RESUMABLE_FOR
    if latest is None or restart or too_old:
        unfinished.delete()
        sync = CatalogSync.objects.create(base_url=catalog_base_url())
        if unfinished.filter(pk__lt=sync.pk).exists():
            sync.delete()
            raise SyncError("Another sync has just begun.")
        return sync
    leased = unfinished.filter(pk=latest.pk, heard_at=latest.heard_at).update(heard_at=now)
    if not leased:
        raise SyncError("Another sync has just begun.")
    latest.heard_at = now
    return latest


@contextmanager
def _released(sync: CatalogSync) -> Iterator[None]:
    """Let the next run go on at once, however this one ends."""
    try:
        yield
    finally:
        _own(sync).update(heard_at=None)


def _own(sync: CatalogSync) -> models.QuerySet[CatalogSync]:
    """Return the row of this run's sync; of no row where another run took it up."""
    return CatalogSync.objects.filter(pk=sync.pk, heard_at=sync.heard_at)


@contextmanager
def _written(sync: CatalogSync, **changes: Any) -> Iterator[None]:
    """Write ``changes`` to the sync, and what the body writes, in one transaction."""
    with transaction.atomic(using=router.db_for_write(CatalogSync)):
        if not _own(sync).filter(finished_at=None).update(**changes):
            raise SyncError("Another run took this sync over. Its catalog counts, not this one's.")
        yield
    for name, value in changes.items():
        setattr(sync, name, value)


def _wait(sync: CatalogSync, seconds: float) -> None:
    """Wait, and say meanwhile that this run is alive."""
    while seconds > _BREATH:
        time.sleep(_BREATH)
        seconds -= _BREATH
        with _written(sync, heard_at=timezone.now()):
            pass
    time.sleep(seconds)


def _fetch(sync: CatalogSync, pause: float, report: Callable[[int], None]) -> None:
    is_complete = sync.pages.exists() and not sync.cursor
    cursors: set[str] = set()
    report(sync.fetched)
    while not is_complete:
        page = _get_page(sync)
        if page.has_more and (not page.next_cursor or page.next_cursor in cursors):
            raise SyncError("Medblocks says that there is more, but not where. Try again later.")
        if len(cursors) >= _MOST_PAGES:
            raise SyncError("The catalog does not end. Tell Medblocks.")
        cursors.add(page.next_cursor)
        _keep_page(sync, page)
        is_complete = not page.has_more
        report(sync.fetched)
        if not is_complete:
            _wait(sync, pause)


def _get_page(sync: CatalogSync) -> Page[FhirSource]:
    """Ask for the next page, with patience: a whole catalog is not given up for one bad minute."""
    for waited in range(_TRIES):
        page = _ask(sync, is_last_try=waited == _TRIES - 1)
        if page is not None:
            return page
    raise SyncError("Medblocks refuses its own cursors. Try again with --restart.")


def _ask(sync: CatalogSync, *, is_last_try: bool) -> Page[FhirSource] | None:
    """Return the next page, or None where it is to be asked for again."""
    try:
        return get_client().connections.list(limit=PAGE_SIZE, starting_after=sync.cursor)
    except InvalidRequestError:
        if not sync.cursor:
            raise
        # The cursor of a run that was cut short means nothing any more: from the beginning.
        with _written(sync, cursor="", fetched=0, heard_at=timezone.now()):
            sync.pages.all().delete()
    except MedblocksError as error:
        if is_last_try or not error.is_temporary:
            raise
        _wait(sync, min(error.retry_after or _WAIT, _LONGEST_WAIT))
        with _written(sync, heard_at=timezone.now()):
            pass
    return None


def _keep_page(sync: CatalogSync, page: Page[FhirSource]) -> None:
    # An unreadable item stays as null, so that it is counted when all is there.
    told = [*(asdict(each) for each in page.data), *[None] * page.unreadable]
    with _written(
        sync,
        cursor=page.next_cursor if page.has_more else "",
        fetched=sync.fetched + len(told),
        heard_at=timezone.now(),
    ):
        number = sync.pages.count() + 1
        CatalogPage.objects.create(sync=sync, number=number, facilities=json.dumps(told))


def _read_pages(sync: CatalogSync) -> tuple[dict[str, _Told], int]:
    """Return the facilities by their ids, and how many could not be read."""
    facilities: dict[str, _Told] = {}
    numbers, fetched, unreadable = [], 0, 0
    for page in sync.pages.order_by("number").iterator(chunk_size=20):
        told: list[_Told | None] = json.loads(page.facilities)
        numbers.append(page.number)
        fetched += len(told)
        unreadable += told.count(None)
        facilities.update((each["id"], each) for each in told if each is not None)
    if numbers != [*range(1, len(numbers) + 1)] or fetched != sync.fetched:
        _own(sync).delete()
        raise SyncError("Some of what was fetched is gone. Run again: it begins anew.")
    return facilities, unreadable


def _check_readable(sync: CatalogSync, unreadable: int) -> None:
    if unreadable > max(_FEW_UNREADABLE, sync.fetched * _UNREADABLE_SHARE):
        _own(sync).delete()
        raise SyncError(
            f"{unreadable} of {sync.fetched} facilities cannot be read: the catalog stays as it "
            "was. Tell Medblocks."
        )
    if unreadable:
        logger.warning("%d facilities that Medblocks lists cannot be read: left out", unreadable)


def _check_size(sync: CatalogSync, fetched: int, *, accept_shrink: bool) -> None:
    former = find_catalog()
    before = Facility.objects.filter(withdrawn_at=None).count() if former else 0
    if fetched and (accept_shrink or fetched >= before * _SHRUNK):
        return
    _own(sync).delete()
    raise SyncError(
        f"Medblocks gave {fetched} facilities where {before} are known: the catalog stays as it "
        "was. If that is right, run again with --accept-shrink."
    )


def _apply(sync: CatalogSync, facilities: dict[str, _Told]) -> None:
    """Make ``facilities`` the catalog, in one transaction that begins with a write."""
    now = timezone.now()
    database = router.db_for_write(Facility)
    with _written(sync, finished_at=now, fetched=len(facilities)):
        sync.added, sync.changed, sync.withdrawn = _merge(facilities, now, database)
        sync.save(using=database, update_fields=["added", "changed", "withdrawn"])
        sync.pages.all().delete()
        CatalogSync.objects.using(database).filter(finished_at=None).delete()


def _merge(facilities: dict[str, _Told], now: datetime, database: str) -> tuple[int, int, int]:
    """Return how many facilities are new, changed and withdrawn."""
    rows = Facility.objects.using(database)
    changed: list[Facility] = []
    gone: list[int] = []
    for row in rows.iterator(chunk_size=2000):
        told = facilities.pop(row.connection_id, None)
        if told is None:
            if row.withdrawn_at is None:
                gone.append(row.pk)
        elif row.withdrawn_at or any(getattr(row, name) != told[name] for name in _FIELDS):
            _copy(told, row)
            row.withdrawn_at, row.changed_at = None, now
            changed.append(row)
    new = [_copy(told, Facility(connection_id=key)) for key, told in facilities.items()]
    rows.bulk_create(new, batch_size=_BATCH)
    # SQLite takes 999 parameters at a time in its oldest form; each row here needs two a column.
    rows.bulk_update(changed, [*_FIELDS, "withdrawn_at", "changed_at"], batch_size=50)
    for start in range(0, len(gone), _BATCH):
        rows.filter(pk__in=gone[start : start + _BATCH]).update(withdrawn_at=now)
    return len(new), len(changed), len(gone)


def _copy(told: _Told, row: Facility) -> Facility:
    for name in _FIELDS:
        setattr(row, name, told[name])
    return row
