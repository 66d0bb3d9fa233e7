"""What a patient sees of the facilities found, and of finding none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError
from medblocks_connect.conf import conf
from medblocks_connect.facilities import FacilitySearch, find_facilities, get_facility
from medblocks_connect.facilities.catalog import find_catalog, get_index
from medblocks_connect.facilities.folding import fold
from medblocks_connect.facilities.marking import NamePart, mark_match
from medblocks_connect.facilities.states import STATE_NAMES, split_state
from medblocks_connect.facilities.suggestions import suggest_facilities
from medblocks_connect.messages import RECORD_SYSTEMS, name_record_system
from medblocks_connect.patients import Patient

_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_SMALL_WORDS: Final = {"and", "at", "de", "del", "for", "in", "la", "of", "on", "s", "the", "y"}


@dataclass(frozen=True)
class FacilityResult:
    """One facility in the list: nothing of it is trusted to be safe markup."""

    connection_id: str
    name: str  # without a vendor's prefix
    record_system: str
    initials: str
    logo_url: str  # "" unless it is safe to show
    full_name: str = ""  # as Medblocks has it
    parts: tuple[NamePart, ...] = ()  # of the name; what was typed is marked
    state: str = ""  # the state's name, where the facility's name gives it
    host: str = ""  # only where another facility has the same name
    is_portal: bool = True  # the host is the portal's, and not the record system's
    entry: int = 0  # which of several that nothing else tells apart; 0 for a facility alone
    entries: int = 0


@dataclass(frozen=True)
class SuggestedGroup:
    """Facilities offered before typing, and why: ``used``, ``pinned`` or ``popular``."""

    reason: str
    facilities: tuple[FacilityResult, ...]


@dataclass(frozen=True)
class SearchResults:
    """What a search came to: exactly one of hint, away, none and some."""

    facilities: tuple[FacilityResult, ...] = ()
    is_hint: bool = False  # too short to ask
    is_away: bool = False  # nobody could be asked
    more: str = ""  # query string of the next page
    shown: int = 0  # how many are shown with the pages before; 0 where nobody counted
    total: int | None = None  # None where nobody counted
    is_capped: bool = False  # there are more than the total
    is_later: bool = False  # a page after the first
    suggested: tuple[SuggestedGroup, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether the search was asked, and nothing was found."""
        return not (self.facilities or self.is_hint or self.is_away)


def show_results(search: FacilitySearch, patient: Patient | None = None) -> SearchResults:
    """Search, and put what came of it as a patient sees it. Never raises for Medblocks' sake.

    Where nothing is typed yet, ``patient`` is offered what they may be looking for.
    """
    if not search.is_long_enough:
        offered = patient if not search.q else None
        return SearchResults(is_hint=True, suggested=_suggest(offered) if offered else ())
    try:
        found = find_facilities(search)
    except InvalidRequestError:
        # Medblocks does not take this cursor or kind: the first page of all that matches it does.
        first = FacilitySearch(search.q)
        return SearchResults(is_away=True) if search == first else show_results(first)
    except MedblocksError:
        return SearchResults(is_away=True)
    more = ""
    if found.page.has_more:
        asked = {"q": search.q, "type": search.type, "starting_after": found.page.next_cursor}
        more = urlencode({name: value for name, value in asked.items() if value})
    return SearchResults(
        tuple(tell_apart(found.page.data, search.q)),
        more=more,
        shown=found.first + len(found.page.data) if found.total is not None else 0,
        total=found.total,
        is_capped=found.is_capped,
        is_later=bool(search.starting_after),
    )


def _suggest(patient: Patient) -> tuple[SuggestedGroup, ...]:
    suggestions = suggest_facilities(patient)
    groups = (
        SuggestedGroup(reason, tuple(tell_apart(getattr(suggestions, reason))))
        for reason in ("used", "pinned", "popular")
    )
    return tuple(group for group in groups if group.facilities)


def tell_apart(facilities: Sequence[FhirSource], typed: str = "") -> Iterator[FacilityResult]:
    """Yield ``facilities`` as a patient sees them; those of one name with what tells them apart.

    Where neither the state nor the record system nor the host differs, they are numbered.
    """
    results = [show_facility(each, typed) for each in facilities]
    names = Counter(fold(each.name) for each in results)
    hosts = [
        _host_of(facility) if names[fold(result.name)] > 1 else ("", True)
        for facility, result in zip(facilities, results, strict=True)
    ]
    told = [
        (fold(result.name), result.state, result.record_system, host)
        for result, (host, _is_portal) in zip(results, hosts, strict=True)
    ]
    entries, entry = Counter(told), Counter[tuple[str, str, str, str]]()
    for result, (host, is_portal), same in zip(results, hosts, told, strict=True):
        entry[same] += 1
        numbered = entries[same] > 1
        yield replace(
            result,
            host=host,
            is_portal=is_portal,
            entry=entry[same] if numbered else 0,
            entries=entries[same] if numbered else 0,
        )


def _host_of(facility: FhirSource) -> tuple[str, bool]:
    """Return the portal's host and True, else that of the record system's address and False."""
    for url, is_portal in ((facility.portal_url, True), (facility.fhir_base_url, False)):
        if is_public_https(url):
            return (urlsplit(url).hostname or "").removeprefix("www."), is_portal
    return "", True


def show_facility(facility: FhirSource, typed: str = "") -> FacilityResult:
    """Put one facility of the catalog as a patient sees it, what they ``typed`` marked in it."""
    full_name = facility.name or facility.id
    state, name = split_state(full_name)
    return FacilityResult(
        connection_id=facility.id,
        name=name,
        record_system=name_record_system(facility.type),
        initials=initials_of(name if facility.name else ""),
        logo_url=facility.logo_url if is_public_https(facility.logo_url) else "",
        full_name=full_name,
        parts=mark_match(name, typed),
        state=STATE_NAMES.get(state, ""),
    )


def list_record_systems() -> list[tuple[str, str]]:
    """Return the kinds of record system to filter by, each with its name, in order of the names.

    Those of the local catalog where there is one, else those that are known.
    """
    index = get_index()
    kinds = [kind for kind in index.kind_names if kind] if index else list(RECORD_SYSTEMS)
    named = ((kind, name_record_system(kind)) for kind in kinds)
    return sorted(named, key=lambda each: each[1].casefold())


def describe_search_page() -> dict[str, Any]:
    """Return what the whole search page shows beside the results."""
    return {
        "record_systems": list_record_systems(),
        "has_catalog": find_catalog() is not None,
        "hosted_fallback": conf.hosted_fallback,
        "request_notes": conf.request_notes,
    }


def name_place(connection_id: str) -> FacilityResult:
    """Return the facility to go to, with an empty name where Medblocks cannot tell it now."""
    try:
        return show_facility(get_facility(connection_id))
    except MedblocksError:
        return FacilityResult(connection_id, name="", record_system="", initials="", logo_url="")


def initials_of(name: str) -> str:
    """Return up to two capitals that stand for ``name``: "RG" for "Riverside General"."""
    words = _WORD.findall(name)
    telling = [word for word in words if word.casefold() not in _SMALL_WORDS] or words
    return "".join(word[0] for word in telling[:2]).upper()


def is_public_https(url: str) -> bool:
    """Whether ``url`` may be given to a browser: https, a named public host, nothing odd.

    An address or a name inside somebody's network is refused: a page must not make the patient's
    browser knock there.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        _port = parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not url.isascii() or not url.isprintable() or "@" in parts.netloc:
        return False
    if any(each in url for each in " \\\"'<>"):
        return False
    return "." in host and not _is_inner(host)


def _is_inner(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        inner = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain")
        # A last label of digits is an address in disguise (WHATWG URL, "ends in a number").
        return host.endswith(inner) or host.rpartition(".")[2][:1].isdigit()
    return True
