"""The surfaces: what each page, JSON answer and admin page says of each place, as it is read there.

A reader returns ``{place: word}``, or ``{attempt: word}`` where a page is about an attempt. A place
of which nothing is said is not in it.
"""

from __future__ import annotations

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


def read_search(story: Story) -> Said:
    """Read the search's results: which places are connected, and which can be started."""
    page = _get(story.clinic.client, "/records/search/?q=riverside")
    return dict(_read_facilities(page)) if "<p>The list of hospitals cannot" not in page else {}


def read_suggestions(story: Story) -> Said:
    """Read what is offered before typing."""
    page = _get(story.clinic.client, "/records/search/")
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


def read_json(story: Story) -> Said:
    """Read ``is_connected`` of the JSON search."""
    answered = story.clinic.client.get("/records/api/connections/?q=riverside")
    if answered.status_code == 503:
        return {}
    words = {True: "connected", False: "offered"}
    return {find_place(each["id"]): words[each["is_connected"]] for each in answered.json()["data"]}


def read_connections(story: Story) -> Said:
    """Read the page of the patient's connections: the state of each, and of its records."""
    page = _get(story.clinic.client, "/records/connections/")
    said: dict[object, str] = {}
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
        return named
    if form.group(1) == "connection":
        place = story.model.places.get(form.group(2), form.group(2))
    else:
        place = find_place(unescape(form.group(2)))
    is_unnamed = "A hospital or clinic" in name
    return place if named == place or is_unnamed else f"{place} called {named}"


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
    if "a later one did" in page:
        words.append("later")
    if "You connected it again" in page:
        words.append("again")
    words += [word for phrase, word in RECORDS.items() if phrase in page]
    if "Nothing has changed" in page:
        words.append("unchanged")
    lead = re.search(r'medblocks-lead">(.*?)</p>', page, re.DOTALL)
    named = _find_named(lead.group(1)) if lead else ""
    if named in NAMES and named != attempt.place:
        words.append(f"of {named}")
    return ", ".join(words)


# The admin.


def read_attempt_list(staff: Client) -> Said:
    """Read the status of each attempt in the list."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/")
    return {
        key: _read_status(row) for key, row in _read_rows(page) if "patienthistory" not in str(key)
    }


def read_concern(staff: Client, concern: str) -> set[int]:
    """Read which attempts are "worth a look" for ``concern``."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/?concern={concern}")
    return {key for key, _row in _read_rows(page)}


def _read_rows(page: str) -> Iterator[tuple[int, str]]:
    body = re.search(r'<table id="result_list">(.*?)</table>', page, re.DOTALL)
    for row in re.findall(r"<tr>(.*?)</tr>", body.group(1) if body else "", re.DOTALL):
        key = re.search(r"patientconnectionattempt/(\d+)/change", row)
        if key:
            yield int(key.group(1)), row


def _read_status(row: str) -> str:
    badge = re.search(r'medblocks-badge medblocks-\w+">(.*?)</span>', row).group(1)
    notes = ("access lost later", "workspace sandbox", "workspace live")
    return ", ".join([badge, *(note for note in notes if note in row)])


SUMMARY = {
    "a later try connected it.": "later",
    "connected there all the same": "kept",
    "disconnected on this site since": "ended here",
    "access was lost since": "lost",
    "some of its records did not arrive": "missed",
    "You are connected. Records can take": "tell: connected",
    "You are connected. Some records did not arrive": "tell: connected, missed",
    "The connection has ended.": "tell: ended",
}


def read_attempt_page(staff: Client, attempt: Attempt) -> str:
    """Read the summary on an attempt's page: what became of the place, and the patient is told."""
    page = _get(staff, f"{ADMIN}/patientconnectionattempt/{attempt.number}/change/")
    story = re.search(r'<section class="medblocks-story".*?</dl>', page, re.DOTALL).group(0)
    text = _text(story)
    return ", ".join(word for phrase, word in SUMMARY.items() if phrase in text)


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
    return said


def read_patient_count(story: Story, staff: Client) -> str:
    """Read how many places the patients' list says that the patient is connected to."""
    page = _get(staff, f"{ADMIN}/patienthistory/")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    own = next(row for row in rows if f">{story.medblocks.patient_id}<" in row)
    return re.search(r'field-connected">\s*(\d+)', own).group(1)


def read_queue(story: Story, staff: Client) -> Said:
    """Read the reconnect queue: the patient's places in it, and why."""
    page = _get(staff, f"{ADMIN}/lostconnection/")
    said: dict[object, str] = {}
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        if f">{story.medblocks.patient_id}<" in row:
            place = _find_linked(row)
            word = "disconnected" if "Disconnected, perhaps on purpose" in row else "lost"
            said[place] = f"{said[place]} and {word}" if place in said else word
    return said


def _find_linked(item: str) -> str:
    """Return the place that a facility's link leads to the attempts of; its name must agree."""
    address, shown = re.search(
        r'<a href="([^"]*place_id__exact=[^"]*)".*?>(.*?)</a>', item
    ).groups()
    place = find_place(parse_qs(urlsplit(unescape(address)).query)["place_id__exact"][0])
    named = _find_named(shown)
    return place if named in {place, ""} or named not in NAMES else f"{place} called {named}"


def _find_named(html: str) -> str:
    """Return the place whose name stands in ``html``, or the text that stands there."""
    text = _text(html)
    # The longest first: no name is another's beginning here, but a stranger's may be.
    return next((place for place, name in NAMES.items() if name in text), find_place(text))


def _get(client: Client, path: str) -> str:
    answered = client.get(path)
    assert answered.status_code == 200, (path, answered.status_code)
    return answered.content.decode()


def _text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
