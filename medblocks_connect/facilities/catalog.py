"""The local catalog: whether there is one, how old it is, and the index over it.

A process builds the index on first use and again when another version of the catalog is there;
all its threads share it, and while one builds the others use the one before. Each workspace of each
database has its own: nobody is given another's, nor waits for it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Final

from django.db.models import QuerySet
from django.utils import timezone

from medblocks_connect.api import FhirSource
from medblocks_connect.cache import build_key, cache
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.facilities.aliases import list_aliases
from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.models import CatalogSync, Facility, filter_workspace, find_installation_id

# The columns of a facility in FhirSource's order.
_SOURCE: Final = ("connection_id", "name", "type", "fhir_base_url", "logo_url", "portal_url")

_WARN_EVERY: Final = 60 * 60  # seconds
_INDEXES_MAX: Final = 8  # of 30,000 facilities each takes some 5 MiB

logger = logging.getLogger("medblocks_connect.facilities")

_Version = tuple[object, ...]


@dataclass(frozen=True)
class _VersionedIndex:
    version: _Version
    index: FacilityIndex


@dataclass(eq=False)
class _WorkspaceIndex:
    """A workspace's index in this process; ``lock`` is held by whoever builds it."""

    lock: Lock = field(default_factory=Lock)
    built: _VersionedIndex | None = None


_indexes: OrderedDict[tuple[str, str], _WorkspaceIndex] = OrderedDict()  # the idlest first
_indexes_lock: Final = Lock()


def catalog_base_url() -> str:
    """Return whose catalog it is: a sandbox's facilities are never shown for the real ones."""
    return conf.base_url.rstrip("/")


def _list_finished_syncs() -> QuerySet[CatalogSync]:
    return CatalogSync.objects.exclude(finished_at=None).order_by("-finished_at", "-id")


def find_catalog(database: str | None = None) -> CatalogSync | None:
    """Return the sync that the local catalog came of; None where there is no local catalog.

    It is read where syncs are read; ``database`` names another, such as where they are written.
    """
    latest = filter_workspace(_list_finished_syncs().using(database)).first()
    return latest if latest is not None and latest.base_url == catalog_base_url() else None


def find_other_workspace() -> str:
    """Return the workspace of the latest catalog here, where it is another one; else ""."""
    latest = _list_finished_syncs().values_list("workspace", flat=True).first()
    return latest if latest and latest != find_workspace() else ""


def is_too_old(catalog: CatalogSync) -> bool:
    """Return whether the catalog is older than ``CATALOG_MAX_AGE_DAYS`` allows."""
    allowed = timedelta(days=conf.catalog_max_age_days)
    return catalog.finished_at is not None and timezone.now() - catalog.finished_at > allowed


def get_index() -> FacilityIndex | None:
    """Return the index over the local catalog, or None where there is none."""
    catalog = find_catalog()
    if catalog is None:
        return None
    _warn_of_age(catalog)
    # The primary key alone would not do: a database that was emptied counts from 1 again.
    version = (catalog.pk, catalog.finished_at, catalog.base_url, conf.facility_aliases)
    ours = _find_workspace_index()
    built = ours.built
    if built is not None and built.version == version:
        return built.index
    if not ours.lock.acquire(blocking=built is None):
        return built.index if built else None
    try:
        return _build(ours, version)
    finally:
        ours.lock.release()


def _find_workspace_index() -> _WorkspaceIndex:
    """Return the place of the index in force now; where there are many, drop the idlest."""
    world = (find_installation_id(), find_workspace())
    with _indexes_lock:
        ours = _indexes.setdefault(world, _WorkspaceIndex())
        _indexes.move_to_end(world)
        if len(_indexes) > _INDEXES_MAX:
            _indexes.popitem(last=False)
        return ours


def _build(ours: _WorkspaceIndex, version: _Version) -> FacilityIndex:
    built = ours.built
    if built is None or built.version != version:  # another thread may just have built it
        began = time.monotonic()
        built = ours.built = _VersionedIndex(version, FacilityIndex(_read_entries()))
        seconds = time.monotonic() - began
        logger.info("The index of %d facilities was built in %.1f s", len(built.index), seconds)
    return built.index


def _read_entries() -> Iterator[IndexEntry]:
    aliases = list_aliases()
    rows = filter_workspace(Facility.objects.filter(withdrawn_at=None)).order_by()
    # All of them at once, without iterator(): SQLite lets nobody write while a reading is open, and
    # to rank the names takes several times as long as to read them.
    for key, connection_id, name, kind in rows.values_list("pk", "connection_id", "name", "type"):
        yield IndexEntry(key, name or connection_id, kind)
        for alias in aliases.get(connection_id, ()):
            yield IndexEntry(key, alias, kind)


def _warn_of_age(catalog: CatalogSync) -> None:
    if is_too_old(catalog) and cache.add(
        build_key("catalog-age-warning"), value=True, timeout=_WARN_EVERY
    ):
        logger.warning(
            "The catalog of facilities is older than %d days: run manage.py "
            "medblocks_sync_facilities",
            conf.catalog_max_age_days,
        )


def read_facilities(keys: Iterable[int]) -> Mapping[int, FhirSource]:
    """Return the facilities with these primary keys, in their order, less any withdrawn one."""
    wanted = list(keys)
    rows = filter_workspace(Facility.objects.filter(withdrawn_at=None, pk__in=wanted))
    # Up to a hundred for each letter that is typed: without a model's object for each of them.
    found = {key: FhirSource(*columns) for key, *columns in rows.values_list("pk", *_SOURCE)}
    return {key: found[key] for key in wanted if key in found}


def find_in_catalog(connection_ids: Iterable[str]) -> Mapping[str, FhirSource | None] | None:
    """Return what the catalog has of these ids: facilities, and None for one that was withdrawn.

    None instead where there is no catalog.
    """
    if find_catalog() is None:
        return None
    rows = filter_workspace(Facility.objects.filter(connection_id__in=list(connection_ids)))
    return {row.connection_id: as_source(row) if row.withdrawn_at is None else None for row in rows}


def is_address_in_catalog(url: str) -> bool | None:
    """Return whether ``url`` is a facility's FHIR base URL; None where there is no catalog."""
    if find_catalog() is None:
        return None
    return _filter_address(url).exists()


def find_by_address(url: str) -> FhirSource | None:
    """Return the one facility whose FHIR base URL ``url`` is.

    None where the catalog has none, or several: it cannot tell which.
    """
    rows = list(_filter_address(url)[:2]) if find_catalog() is not None else []
    return as_source(rows[0]) if len(rows) == 1 else None


def _filter_address(url: str) -> QuerySet[Facility]:
    bare = url.rstrip("/")
    same = Facility.objects.filter(fhir_base_url__in=(bare, f"{bare}/"), withdrawn_at=None)
    return filter_workspace(same)


def as_source(row: Facility) -> FhirSource:
    """Return a row of the catalog as Medblocks' API would give it."""
    return FhirSource(
        id=row.connection_id,
        name=row.name,
        type=row.type,
        fhir_base_url=row.fhir_base_url,
        logo_url=row.logo_url,
        portal_url=row.portal_url,
    )
