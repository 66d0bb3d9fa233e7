"""What a patient sees of the facilities found, and of finding none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode, urlsplit

from medblocks_connect.api import FhirSource, MedblocksError
from medblocks_connect.facilities import FacilitySearch, get_facility, search_facilities
from medblocks_connect.messages import name_record_system

_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_SMALL_WORDS: Final = {"and", "at", "de", "del", "for", "in", "la", "of", "on", "s", "the", "y"}


@dataclass(frozen=True)
class FacilityResult:
    """One facility in the list: nothing of it is trusted to be safe markup."""

    connection_id: str
    name: str
    record_system: str
    initials: str
    logo_url: str  # "" unless it is safe to show


@dataclass(frozen=True)
class SearchResults:
    """What a search came to: exactly one of hint, away, none and some."""

    facilities: tuple[FacilityResult, ...] = ()
    is_hint: bool = False  # too short to ask
    is_away: bool = False  # nobody could be asked
    more: str = ""  # query string of the next page

    @property
    def is_none(self) -> bool:
        """Whether the search was asked, and nothing was found."""
        return not (self.facilities or self.is_hint or self.is_away)


def show_results(search: FacilitySearch) -> SearchResults:
    """Search, and put what came of it as a patient sees it. Never raises for Medblocks' sake."""
    if not search.is_long_enough:
        return SearchResults(is_hint=True)
    try:
        page = search_facilities(search)
    except MedblocksError:
        return SearchResults(is_away=True)
    more = ""
    if page.has_more:
        asked = {"q": search.q, "type": search.type, "starting_after": page.next_cursor}
        more = urlencode({name: value for name, value in asked.items() if value})
    return SearchResults(tuple(show_facility(each) for each in page.data), more=more)


def show_facility(facility: FhirSource) -> FacilityResult:
    """Put one facility of the catalog as a patient sees it."""
    return FacilityResult(
        connection_id=facility.id,
        name=facility.name or facility.id,
        record_system=name_record_system(facility.type),
        initials=initials_of(facility.name),
        logo_url=facility.logo_url if is_public_https(facility.logo_url) else "",
    )


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
