"""Calls of Medblocks while 30 searches are typed, with a local catalog and without.

``typing.json`` holds the keys of 30 searches, each with the milliseconds since the key before:
made up, at the pace of people who type with one finger and with ten, who think and who correct
themselves. The page's own pauses, or none, and the app's own search answer them; only Medblocks is
a list in memory, which matches substrings.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

HERE = Path(__file__).resolve().parent


@dataclass
class Session:
    """The counts of a typing session."""

    keystrokes: int = 0  # that leave two letters or more
    questions: int = 0  # that the page asked the site
    calls: int = 0  # that the site asked Medblocks


def read_pauses() -> dict[bool, int]:
    """Return the page's pause in milliseconds, with a catalog and without, from its template."""
    template = HERE.parent / "medblocks_connect/templates/medblocks_connect/search.html"
    pauses = re.search(r"{% if has_catalog %}(\d+){% else %}(\d+){% endif %}", template.read_text())
    assert pauses, "the template names no pauses"
    return {True: int(pauses[1]), False: int(pauses[2])}


def type_searches(pause: int) -> Iterator[tuple[str, bool]]:
    """Yield (text, whether the page asks now) for every key."""
    for keys in json.loads((HERE / "typing.json").read_text(encoding="utf-8")):
        text = ""
        for place, (key, _waited) in enumerate(keys):
            text = text[:-1] if key == "Backspace" else text + key
            until_next = keys[place + 1][1] if place + 1 < len(keys) else pause
            yield text, until_next >= pause


def run_session(
    rows: list[tuple[str, str]], *, with_catalog: bool, page_pauses: bool = True
) -> Session:
    """Type the searches; Django has to be set up, with a database.

    Without ``page_pauses`` every key asks the site, as from a front end that does not wait.
    """
    from django.core.cache import cache

    from medblocks_connect.api import FhirSource, Page
    from medblocks_connect.facilities.search import FacilitySearch, find_facilities

    session = Session()
    sources = [
        FhirSource(f"fhirsrc_{number}", name, kind, "", "", "")
        for number, (name, kind) in enumerate(rows)
    ]

    def list_connections(*, q: str, limit: int, **_others: object) -> Page[FhirSource]:
        session.calls += 1
        found = [source for source in sources if q.casefold() in source.name.casefold()]
        return Page(tuple(found[:limit]), len(found) > limit, "next" if len(found) > limit else "")

    cache.clear()
    fill_catalog(rows if with_catalog else [])
    client = SimpleNamespace(connections=SimpleNamespace(list=list_connections))
    with patch("medblocks_connect.facilities.remote.get_client", return_value=client):
        latest = ""
        for text, page_asks in type_searches(read_pauses()[with_catalog] if page_pauses else 0):
            search = FacilitySearch.of(text)
            session.keystrokes += search.is_long_enough
            if page_asks and search.is_long_enough and search.q != latest:
                latest = search.q
                session.questions += 1
                find_facilities(search)
    return session


def fill_catalog(rows: list[tuple[str, str]]) -> None:
    """Make ``rows`` the local catalog; without any there is none."""
    from django.utils import timezone

    from medblocks_connect.facilities.catalog import catalog_base_url
    from medblocks_connect.models import CatalogSync, Facility

    CatalogSync.objects.all().delete()
    Facility.objects.all().delete()
    if rows:
        Facility.objects.bulk_create(
            Facility(connection_id=f"fhirsrc_{number}", name=name, type=kind)
            for number, (name, kind) in enumerate(rows)
        )
        CatalogSync.objects.create(base_url=catalog_base_url(), finished_at=timezone.now())


def run_sessions(rows: list[tuple[str, str]]) -> tuple[Session, Session, Session]:
    """Return the session with the catalog, the one without, and that where no page pauses.

    The last is without the catalog too. The database is in memory.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ["DATABASE_URL"] = "sqlite://:memory:"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return (
        run_session(rows, with_catalog=True),
        run_session(rows, with_catalog=False),
        run_session(rows, with_catalog=False, page_pauses=False),
    )
