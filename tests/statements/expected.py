"""What each surface should say, in its own words, by the model; and the comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.test import Client

from tests.statements import model, surfaces
from tests.statements.history import ELSEWHERE, PLACES, Story
from tests.statements.model import Attempt


def check(story: Story, staff: Client, stranger: Client, *, is_last: bool) -> None:
    """Hold every surface against the model, in the order in which a visit would tell more.

    First what is read without asking Medblocks anything, then the pages that ask about an attempt,
    then those that ask for all connections, and what they taught the others. Staff look before
    all of it or after; at what takes long at the end of a history alone.
    """
    is_staff_first = story.random.random() < 0.5
    _check_pages_of_stranger(story, stranger)
    _check_quiet_pages(story)
    if is_staff_first:
        _check_admin(story, staff, is_last=is_last)
    for attempt in story.attempts:
        if attempt.outcome == model.OPEN and not attempt.claims_failure:  # it asks about these
            story.hear_session(attempt)
        said, true = surfaces.read_outcome(story, attempt), tell_outcome(story, attempt)
        compare(story, "outcome page", {attempt.number: said}, {attempt.number: true})
    story.hear_list()
    compare(story, "connections", surfaces.read_connections(story), tell_connections(story))
    compare(story, "disconnect page", surfaces.read_disconnect(story), tell_disconnect(story))
    _check_quiet_pages(story)
    if not is_staff_first:
        _check_admin(story, staff, is_last=is_last)


def _check_pages_of_stranger(story: Story, stranger: Client) -> None:
    """Hold the pages of a patient who did nothing: first, as how many chose a place is cached."""
    _check_search(story, stranger, dict.fromkeys(PLACES, "offered"))
    compare(story, "popular", surfaces.read_suggestions(stranger), tell_popular(story))


def _check_quiet_pages(story: Story) -> None:
    client = story.clinic.client
    found = dict.fromkeys(PLACES, "offered") | _states(story, {model.CONNECTED: "connected"})
    _check_search(story, client, found)
    compare(story, "suggestions", surfaces.read_suggestions(client), tell_suggestions(story))


def _check_search(story: Story, client: Client, found: Mapping) -> None:
    for name, read in (("search", surfaces.read_search), ("JSON", surfaces.read_json)):
        said = read(client)
        if said or not story.medblocks.is_away:  # nothing is said where there is no catalog
            compare(story, name, said, found)


def _check_admin(story: Story, staff: Client, *, is_last: bool) -> None:
    statuses = {attempt.number: tell_status(story, attempt) for attempt in story.attempts}
    said = _of_patient(story, surfaces.read_attempt_list(staff))
    compare(story, "admin: attempts", said, statuses)
    for concern, listed in tell_concerns(story).items():
        said = _of_patient(story, surfaces.read_attempt_list(staff, concern=concern))
        compare(
            story,
            f"admin: worth a look, {concern}",
            said,
            {number: statuses[number] for number in listed},
        )
    compare(story, "admin: queue", surfaces.read_queue(story, staff), tell_queue(story))
    if story.attempts:
        compare(
            story,
            "admin: patient",
            surfaces.read_patient_page(story, staff),
            tell_patient_page(story) | statuses,
        )
        compare(
            story,
            "admin: patients",
            surfaces.read_patient_counts(story, staff),
            tell_patient_counts(story),
        )
    if is_last:
        _check_admin_at_length(story, staff, statuses)


def _check_admin_at_length(story: Story, staff: Client, statuses: Mapping[object, str]) -> None:
    for attempt in story.attempts:
        said = surfaces.read_attempt_page(staff, attempt)
        true = tell_summary(story, attempt)
        compare(story, "admin: attempt", {attempt.number: said}, {attempt.number: true})
    status, word = story.random.choice([*STATUSES.items()])
    said = _of_patient(story, surfaces.read_attempt_list(staff, status__exact=status))
    own = [attempt.number for attempt in story.attempts if tell_badge(story, attempt) == word]
    true = {number: statuses[number] for number in own}
    compare(story, f"admin: status {status}", said, true)
    compare(story, "admin: facilities", surfaces.read_facility_counts(staff), tell_counts(story))
    said = _of_patient(story, surfaces.read_export(staff))
    compare(story, "admin: export", said, tell_export(story))
    compare(story, "admin: overview", surfaces.read_overview(staff), tell_overview(story))


def _of_patient(story: Story, said: Mapping[object, str]) -> Mapping[object, str]:
    keys = {attempt.number for attempt in story.attempts}
    return {number: word for number, word in said.items() if number in keys}


def compare(story: Story, surface: str, said: Mapping, true: Mapping) -> None:
    """Fail with the history, the surface, the place, what is said of it and what is true."""
    if said == true:
        return
    lines = [
        f"{key}: said {said.get(key, 'nothing')!r}, true is {true.get(key, 'nothing')!r}"
        for key in sorted({*said, *true}, key=str)
        if said.get(key) != true.get(key)
    ]
    told = "\n  ".join([f"history {story.number}, {surface} after step {story.clock.step}", *lines])
    raise AssertionError(f"{told}\n" + "\n".join(story.steps))


def _states(story: Story, words: Mapping[str, str]) -> dict[object, str]:
    states = {place: story.model.state(place) for place in PLACES}
    return {place: words[state] for place, state in states.items() if state in words}


def tell_suggestions(story: Story) -> Mapping:
    used = "offered as used"
    words = dict.fromkeys((model.LOST, model.DISCONNECTED, model.ENDED_HERE), used)
    return _states(story, words | {model.CONNECTED: "connected"})


def tell_popular(story: Story) -> Mapping:
    """Tell what is offered to a stranger: the places of two patients. One of them is not ours."""
    if story.workspace != "sandbox":
        return {}
    chosen = [place for place in ELSEWHERE if story.model.state(place) != model.NEVER]
    return dict.fromkeys(chosen, "offered as popular")


def tell_connections(story: Story) -> Mapping:
    words = {
        model.LOST: "lost",
        model.DISCONNECTED: "disconnected",
        model.ENDED_HERE: "disconnected",
        model.CHECKED: "checking",
    }
    said: dict[object, str] = {}
    for place in ("", *PLACES):
        state = story.model.shown(place)
        if state == model.CONNECTED:
            said[place] = f"connected, {story.model.records_of(place)}"
        elif state != model.NEVER:
            said[place] = words[state]
    place = story.just_disconnected
    story.just_disconnected = ""
    if place and story.model.state(place) != model.CONNECTED:
        said["just disconnected"] = place
    return said


def tell_disconnect(story: Story) -> Mapping:
    known = {*story.model.places.values()}
    connected = _states(story, {model.CONNECTED: "connected"})
    return dict.fromkeys(known, "not connected") | connected


def tell_queue(story: Story) -> Mapping:
    said = _states(story, {model.LOST: "lost", model.DISCONNECTED: "disconnected"})
    for place, word in said.items():
        attempt = _newest_connected(story, place)
        said[place] = f"{word}, see {attempt}" if attempt else word
    return said


def _newest_connected(story: Story, place: object) -> int:
    own = [each.number for each in story.model.attempts if place in each.connected]
    return max(own, default=0)


def tell_patient_page(story: Story) -> Mapping:
    ended = {model.LOST: "lost", model.DISCONNECTED: "lost", model.ENDED_HERE: "ended here"}
    said = _states(story, ended)
    for place in _states(story, {model.CONNECTED: ""}):
        records = story.model.records_of(place)
        said[place] = "connected" if records == "on their way" else f"connected, {records}"
    return said


def tell_patient_counts(story: Story) -> Mapping:
    failed = [each for each in story.attempts if tell_badge(story, each) == "Failed"]
    return {
        "attempts": str(len(story.attempts)),
        "connected": str(len(_states(story, {model.CONNECTED: ""}))),
        "failed": str(len(failed)),
    }


def tell_outcome(story: Story, attempt: Attempt) -> str:
    told = story.models[attempt.workspace]
    outcome = told.outcome(attempt)
    not_connected = "not connected, twice" if told.has_failed_twice(attempt) else "not connected"
    if attempt.workspace != story.workspace:
        return "not connected, ended" if outcome == model.CONNECTED else not_connected
    now = story.model
    is_connected = now.state(attempt.place) == model.CONNECTED
    if outcome == model.CONNECTED and is_connected:
        words = ["connected"]
        if now.was_won_again(attempt):
            words.append("again")
        records = now.records_of(attempt.place)
        if records != "on their way" or "again" not in words:
            words.append(records)
        return ", ".join(words)
    if now.is_connected_later(attempt):
        return "connected, later"
    if outcome == model.OPEN:
        return "checking" if attempt.is_back else "unfinished"
    if (
        attempt.claims_failure
        and attempt.outcome == model.OPEN
        and attempt.came_back == story.clock.step
    ):
        return "checking"
    if outcome == model.CONNECTED:
        was_lost = now.state(attempt.place) == model.LOST
        return "not connected, ended" if was_lost else "not connected, ended, turned off"
    return "still connected, unchanged" if is_connected else not_connected


STATUSES = {
    "started": "At the portal",
    "returned": "Back, not confirmed",
    "expired": "Never finished",
    "failed": "Failed",
    "succeeded": "Connected",
}


def tell_badge(story: Story, attempt: Attempt) -> str:
    status = tell_stored_status(story, attempt)
    is_open = status in {"started", "returned"}
    # What another workspace left open is over.
    return STATUSES["expired" if is_open and attempt.workspace != story.workspace else status]


def tell_stored_status(story: Story, attempt: Attempt) -> str:
    words = {
        model.OPEN: "returned" if attempt.is_back else "started",
        model.FAILED: "failed",
        model.EXPIRED: "expired",
        model.CONNECTED: "succeeded",
    }
    return words[story.models[attempt.workspace].outcome(attempt)]


def tell_status(story: Story, attempt: Attempt) -> str:
    told = story.models[attempt.workspace]
    badge = tell_badge(story, attempt)
    notes = {
        "access lost later": told.has_lost_access(attempt),
        "claimed, not confirmed": _is_unconfirmed(attempt) and badge != STATUSES["returned"],
        "claim and fact disagree": told.disagrees(attempt),
        f"workspace {attempt.workspace}": attempt.workspace != story.workspace,
    }
    return ", ".join([badge, *(note for note, holds in notes.items() if holds)])


def _is_unconfirmed(attempt: Attempt) -> bool:
    return attempt.is_back and attempt.outcome == model.OPEN


def tell_concerns(story: Story) -> Mapping[str, Collection[int]]:
    """Tell which attempts are worth a look, and for what."""
    told = {attempt: story.models[attempt.workspace] for attempt in story.attempts}
    lacking = [
        place
        for place in PLACES
        if story.model.state(place) == model.CONNECTED and story.model.records_of(place) == "missed"
    ]
    return {
        "unconfirmed": [
            each.number for each in told if each.is_back and each.outcome == model.OPEN
        ],
        "disagrees": [each.number for each, said in told.items() if said.disagrees(each)],
        "away": [each.number for each in told if not each.is_back and each.outcome != model.OPEN],
        "lost": [each.number for each, said in told.items() if said.has_lost_access(each)],
        "records": {_newest_connected(story, place) for place in lacking} - {0},
    }


def tell_counts(story: Story) -> Mapping:
    """Tell how many attempts there were at each place; two are somebody else's."""
    places = [*ELSEWHERE, *(attempt.place for attempt in story.attempts)]
    return {place: str(places.count(place)) for place in places}


def tell_export(story: Story) -> Mapping:
    said: dict[object, str] = {}
    for attempt in story.attempts:
        told = story.models[attempt.workspace]
        notes = {
            "access lost": told.has_lost_access(attempt),
            "claimed, not confirmed": _is_unconfirmed(attempt),
            "claim and fact disagree": told.disagrees(attempt),
        }
        words = [tell_badge(story, attempt), *(note for note, holds in notes.items() if holds)]
        said[attempt.number] = ", ".join(words)
    return said


def tell_overview(story: Story) -> Mapping:
    """Tell the outcomes of the workspace, in which somebody else connected two places."""
    own = story.model.attempts
    elsewhere = ELSEWHERE if story.workspace == "sandbox" else ()
    if not own and not elsewhere:
        return {}
    outcomes = [*map(story.model.outcome, own), *(model.CONNECTED for _ in elsewhere)]
    words = {
        "connected": model.CONNECTED,
        "failed": model.FAILED,
        "unfinished": model.EXPIRED,
        "open": model.OPEN,
    }
    said: dict[object, str] = {
        word: str(outcomes.count(outcome)) for word, outcome in words.items()
    }
    said["all"] = str(len(outcomes))
    places = [*(attempt.place for attempt in own), *elsewhere]
    failed = [each.place for each in own if story.model.outcome(each) == model.FAILED]
    said |= {place: f"{failed.count(place)} of {places.count(place)}" for place in failed}
    return said


def tell_summary(story: Story, attempt: Attempt) -> str:
    told = story.models[attempt.workspace]
    is_here = attempt.workspace == story.workspace
    has_connected = told.outcome(attempt) == model.CONNECTED
    is_connected = is_here and told.state(attempt.place) == model.CONNECTED
    is_later = is_connected and told.is_connected_later(attempt)
    is_kept = is_connected and not has_connected and not is_later
    lacks = is_connected and told.records_of(attempt.place) == "missed"
    was_ended_here = told.was_ended_here(attempt)
    since = [each for each in story.attempts if each.number > attempt.number]
    is_over = was_ended_here and not is_connected
    words = {
        "later": is_later,
        "kept": is_kept,
        "ended here": was_ended_here,
        "lost": told.has_lost_access(attempt) and not was_ended_here,
        "missed": has_connected and lacks,
        "tell: connected": is_connected and not lacks,
        "tell: connected, missed": lacks,
        "tell: ended": has_connected and not is_connected,
        "not tried again": not is_connected and not since,
        "nobody's turn": not is_here
        or is_later
        or is_kept
        or is_over
        or (has_connected and is_connected and not lacks),
    }
    said = [tell_status(story, attempt), *(word for word, holds in words.items() if holds)]
    if since and not is_connected:
        times = "once" if len(since) == 1 else f"{len(since)} times"
        said.append(f"tried again {times}: {tell_badge(story, since[-1])}")
    said.append(f"bundle: {tell_stored_status(story, attempt)}")
    if told.has_lost_access(attempt):
        said.append("access lost")
    return ", ".join(said)
