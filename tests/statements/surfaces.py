"""The surfaces: what each page, JSON answer and admin page says of each place, as it is read there.

A reader returns ``{place: word}``, or ``{attempt: word}`` where a page is about an attempt. A place
of which nothing is said is not in it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from django.test import Client

from medblocks_connect.admin.links import patient_url
from medblocks_connect.models import PatientConnectionAttempt
from tests.statements.history import NAMES, Story, find_place
from tests.statements.model import Attempt

Said: TypeAlias = Mapping[object, str]

ADMIN = "/admin/medblocks_connect"


# The patient's pages.


def read_search(client: Client) -> Said:
    """Read the search's results: which places are connected, and which can be started."""
    page = _get(client, "/records/search/?q=riverside")
    return dict(_read_facilities(page)) if "<p>The list of hospitals cannot" not in page else {}


def read_suggestions(client: Client) -> Said:
    """Read what is offered before typing."""
    page = _get(client, "/records/search/")
    said: dict[object, str] = {}
    for reason, body in re.findall(
        r'aria-labelledby="medblocks-(\w+)">(.*?)</section>', page, re.DOTALL
    ):
        if reason == "connected":
            for item in re.findall(r"<li>(.*?)</li>", body, re.DOTALL):
                said[_find_named(item)] = "connected"
        else:
            said |= {place: f"{word} as {reason}" for place, word in _read_facilities(body)}
    return said


def _read_facilities(page: str) -> Iterator[tuple[str, str]]:
    for card in re.findall(
        r'<li>(<(?:button|div) class="medblocks-facility".*?)</li>', page, re.DOTALL
    ):
        name = re.search(r'name="connection_id" value="(.*?)"', card).group(1)
        is_start = card.startswith("<button")
        is_told = "You are connected" in card
        is_again = "Connect again?" in card
        word = {(True, False, False): "offered", (False, True, True): "connected"}.get(
            (is_start, is_told, is_again), "neither offered nor connected"
        )
        yield find_place(unescape(name)), word


def read_json(client: Client) -> Said:
    """Read ``is_connected`` of the JSON search."""
    answered = client.get("/records/api/connections/?q=riverside")
    if answered.status_code == 503:
        return {}
    words = {True: "connected", False: "offered"}
    return {find_place(each["id"]): words[each["is_connected"]] for each in answered.json()["data"]}


def read_connections(story: Story) -> Said:
    """Read the page of the patient's connections: the state of each, and of its records."""
    page = _get(story.clinic.client, "/records/connections/")
    said: dict[object, str] = {}
    notice = re.search(r"You are disconnected from (.*?)\.</p>|You are disconnected\.", page)
    if notice:
        nameless = story.just_disconnected if story.medblocks.tells_no_ids else ""
        said["just disconnected"] = _find_named(notice.group(1)) if notice.group(1) else nameless
    for state, body in re.findall(
        r'<li class="medblocks-place medblocks-place-(\w+)">(.*?)</li>', page, re.DOTALL
    ):
        place = _find_place_of(story, body)
        text = _text(body)
        words = [state]
        words += [
            word
            for phrase, word in (
                ("Connected since", "connected"),
                ("Access has ended", "lost"),
                ("Disconnected", "disconnected"),
                ("Being checked", "checking"),
            )
            if phrase in text and word != state
        ]
        words += [word for phrase, word in RECORDS.items() if phrase in text]
        said[place] = f"{said[place]} and " if place in said else ""
        said[place] += ", ".join(words)
    return said


RECORDS = {
    "Some records did not arrive": "missed",
    "Records last came": "came",
    "Your records are on their way": "on their way",
}


def _find_place_of(story: Story, body: str) -> str:
    """Return the place of an item: by its form, and by its name, which must agree."""
    form = re.search(r'name="(connection|connection_id)" value="(.*?)"', body)
    name = re.search(r"<h2.*?>(.*?)</h2>", body, re.DOTALL).group(1)
    named = _find_named(name)
    if form is None:
        place = _find_attempt(story, body).place
    elif form.group(1) == "connection":
        place = story.model.places.get(form.group(2), form.group(2))
    else:
        place = find_place(unescape(form.group(2)))
    is_unnamed = "A hospital or clinic" in name
    return place if named == place or is_unnamed else f"{place} called {named}"


def _find_attempt(story: Story, body: str) -> Attempt:
    """Return the attempt that a link of the patient's pages leads to."""
    public_id = re.search(r'href="/records/attempts/([^/]+)/', body).group(1)
    number = PatientConnectionAttempt.objects.get(public_id=public_id).pk
    return next(attempt for attempt in story.attempts if attempt.number == number)


def read_disconnect(story: Story) -> Said:
    """Read the page that asks whether to disconnect, of each link of each place."""
    said: dict[object, str] = {}
    for link, place in story.model.places.items():
        answered = story.clinic.client.get("/records/connections/disconnect/", {"connection": link})
        if answered.status_code == 303:
            said[place] = "not connected"
            continue
        page = answered.content.decode()
        assert "Disconnect this place?" in page
        lead = re.search(r'medblocks-lead">(.*?)</p>', page, re.DOTALL).group(1)
        is_right = _find_named(lead) == place or "A hospital or clinic" in lead
        said[place] = "connected" if is_right else f"called {_text(lead)}"
    return said


OUTCOMES = {
    "You are connected": "connected",
    "You are still connected": "still connected",
    "Did you finish at the portal?": "unfinished",
    "Checking your connection": "checking",
    "You are not connected": "not connected",
}


def read_outcome(story: Story, attempt: Attempt) -> str:
    """Read an attempt's own page: its title, its heading, and what it says of the place."""
    row = PatientConnectionAttempt.objects.get(pk=attempt.number)
    page = _get(story.clinic.client, row.get_absolute_url())
    title = unescape(re.search(r"<title>(.*?)</title>", page, re.DOTALL).group(1))
    words = [word for phrase, word in OUTCOMES.items() if phrase in title]
    heading = _text(re.search(r"<h1.*?</h1>", page, re.DOTALL).group(0))
    if "The connection has ended" in heading:
        words.append("ended")
    if "This connection was turned off" in page:
        words.append("turned off")
    if "a later one did" in page:
        words.append("later")
    if "You connected it again" in page:
        words.append("again")
    words += [word for phrase, word in RECORDS.items() if phrase in page]
    if "Nothing has changed" in page:
        words.append("unchanged")
    if "It did not work twice now" in page:
        words.append("twice")
    lead = re.search(r'medblocks-lead">(.*?)</p>', page, re.DOTALL)
    named = _find_named(lead.group(1)) if lead else ""
    if named in NAMES and named != attempt.place:
        words.append(f"of {named}")
    return ", ".join(words)


# The admin.


def read_attempt_list(staff: Client, **filters: str) -> Said:
    """Read the status of each attempt in the list, under ``filters``."""
    return _read_rows(_get(staff, f"{ADMIN}/patientconnectionattempt/", filters))


def _read_rows(page: str) -> dict[object, str]:
    """Read the status of each attempt that has a line of a table in ``page``."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    keys = [re.search(r"patientconnectionattempt/(\d+)/change", row) for row in rows]
    return {
        int(key.group(1)): _read_status(row) for key, row in zip(keys, rows, strict=True) if key
    }


def read_facility_counts(staff: Client) -> Said:
    """Read how many attempts the list's filter counts at each facility."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/")
    said: dict[object, int] = {}
    for address, label in re.findall(r'<a href="(\?[^"]*place_id__exact=[^"]*)">(.*?)</a>', page):
        place = _read_place_of(address)
        said[place] = said.get(place, 0) + int(re.search(r"\((\d+)\)", label).group(1))
    return {place: str(count) for place, count in said.items()}


def read_export(staff: Client) -> Said:
    """Read the status of each attempt in the exported file, and whether it lost its access."""
    answered = staff.post(f"{ADMIN}/patientconnectionattempt/export/")
    lines = b"".join(answered.streaming_content).decode("utf-8-sig").splitlines()
    said: dict[object, str] = {}
    for row in csv.DictReader(lines):
        key = PatientConnectionAttempt.objects.get(public_id=row["attempt"].lstrip("'")).pk
        notes = ("access lost", "claimed, not confirmed", "claim and fact disagree")
        said[key] = ", ".join([row["status"], *(note for note in notes if row[note])])
    return said


def read_overview(staff: Client) -> Said:
    """Read how many attempts had each outcome, and how many of each facility's failed."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/overview/")
    table = re.search(r'class="medblocks-details">(.*?)</table>', page, re.DOTALL)
    if table is None:
        return {}
    numbers = [
        [int(number) for number in re.findall(r"<td>(\d+)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", table.group(1), re.DOTALL)
    ]
    counts = [sum(column) for column in zip(*filter(None, numbers), strict=True)]
    said: dict[object, str] = dict(zip(OVERVIEW, map(str, counts), strict=True))
    failing = re.search(r'aria-labelledby="medblocks-failing">(.*?)</section>', page, re.DOTALL)
    for item in re.findall(r"<tr>(.*?)</tr>", failing.group(1), re.DOTALL):
        failed = re.search(r"(\d+) of (\d+)", item)
        if failed:
            said[_find_linked(item)] = failed.group(0)
    return said


OVERVIEW = ("connected", "failed", "unfinished", "open", "all")


NOTES = (
    "access lost later",
    "claimed, not confirmed",
    "claim and fact disagree",
    "workspace sandbox",
    "workspace live",
)


def _read_status(row: str) -> str:
    badge, note = re.search(
        r'medblocks-badge medblocks-\w+">(.*?)</span>'
        r'(?: <span class="medblocks-note">(.*?)</span>)?',
        row,
    ).groups()
    return ", ".join([badge, *(each for each in NOTES if each in (note or ""))])


SUMMARY = {
    "a later try connected it.": "later",
    "connected there all the same": "kept",
    "disconnected on this site since": "ended here",
    "access was lost since": "lost",
    "some of its records did not arrive": "missed",
    "You are connected. Records can take": "tell: connected",
    "You are connected. Some records did not arrive": "tell: connected, missed",
    "The connection has ended.": "tell: ended",
    "has not tried again": "not tried again",
    "Whose turn it is Nobody": "nobody's turn",
}


def read_attempt_page(staff: Client, attempt: Attempt) -> str:
    """Read the summary on an attempt's page: what became of the place, and the patient is told."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/{attempt.number}/change/")
    story = re.search(r'<section class="medblocks-story".*?</dl>', page, re.DOTALL).group(0)
    text = _text(story)
    words = [_read_status(story)]
    words += [word for phrase, word in SUMMARY.items() if phrase in text]
    again = re.search(r"has tried again (once|\d+ times) since, (?:last )?at .*?“(.*?)”", text)
    if again:
        words.append(f"tried again {again.group(1)}: {again.group(2)}")
    bundle = re.search(r'<pre id="medblocks-bundle">(.*?)</pre>', page, re.DOTALL).group(1)
    words.append("bundle: " + re.search(r"status here: (\w+)", bundle).group(1))
    if "access lost: " in bundle:
        words.append("access lost")
    return ", ".join(words)


def read_patient_page(story: Story, staff: Client) -> Said:
    """Read the patient's page: where they are connected, and where they were."""
    newest = story.attempts[-1].number
    page = _get(staff, patient_url(newest))
    said: dict[object, str] = {}
    for section in ("holding", "lost"):
        body = re.search(rf'aria-labelledby="medblocks-{section}">(.*?)</section>', page, re.DOTALL)
        for item in re.findall(r"<li>(.*?)</li>", body.group(1) if body else "", re.DOTALL):
            text = _text(item)
            words = ["connected"] if section == "holding" else []
            phrases = {
                "being checked": "checking",
                "disconnected on this site": "ended here",
                "lost ": "lost",
                "records did not arrive": "missed",
                "records last came": "came",
            }
            words += [word for phrase, word in phrases.items() if phrase in text]
            place = _find_linked(item)
            said[place] = f"{said[place]} and " if place in said else ""
            said[place] += ", ".join(words)
    history = re.search(r'aria-labelledby="medblocks-history">(.*?)</section>', page, re.DOTALL)
    return said | dict(_read_rows(history.group(1)))


def read_patient_counts(story: Story, staff: Client) -> Said:
    """Read the numbers of the patient's line in the list of patients."""
    page = _get(staff, f"{ADMIN}/patienthistory/")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    own = next(row for row in rows if f">{story.medblocks.patient_id}<" in row)
    numbers = re.findall(r'field-(attempts|connected|failed)">\s*(\d+)', own)
    return dict(numbers)


def read_queue(story: Story, staff: Client) -> Said:
    """Read the reconnect queue: the patient's places in it, why, and the attempt to send them."""
    page = _get(staff, f"{ADMIN}/lostconnection/")
    said: dict[object, str] = {}
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        if f">{story.medblocks.patient_id}<" in row:
            place = _find_linked(row)
            word = "disconnected" if "Disconnected, perhaps on purpose" in row else "lost"
            address = re.search(r"/records/attempts/([^/]+)/", row)
            if address:
                number = PatientConnectionAttempt.objects.get(public_id=address.group(1)).pk
                word = f"{word}, see {number}"
            said[place] = f"{said[place]} and {word}" if place in said else word
    return said


def _find_linked(item: str) -> str:
    """Return the place that a facility's link leads to the attempts of; its name must agree."""
    address, shown = re.search(
        r'<a href="([^"]*place_id__exact=[^"]*)".*?>(.*?)</a>', item
    ).groups()
    place = _read_place_of(address)
    named = _find_named(shown)
    return place if named in {place, ""} or named not in NAMES else f"{place} called {named}"


def _read_place_of(address: str) -> str:
    query = parse_qs(urlsplit(unescape(address)).query, keep_blank_values=True)
    named = query["place_id__exact"][0]
    return named if named.endswith("/") else find_place(named)  # a place has no slash at its end


def _find_named(html: str) -> str:
    """Return the place whose name stands in ``html``, or the text that stands there."""
    text = _text(html)
    # The longest first: no name is another's beginning here, but a stranger's may be.
    return next((place for place, name in NAMES.items() if name in text), find_place(text))


def _get(client: Client, path: str, query: Mapping[str, str] | None = None) -> str:
    answered = client.get(path, query)
    assert answered.status_code == 200, (path, answered.status_code)
    return answered.content.decode()


def _text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
