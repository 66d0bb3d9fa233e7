"""What each surface should say, in its own words, by the model; and the comparison."""

from __future__ import annotations

from collections.abc import Mapping

from django.test import Client

from tests.statements import model, surfaces
from tests.statements.history import PLACES, Story
from tests.statements.model import Attempt


def check(story: Story, staff: Client, *, is_last: bool) -> None:
    """Hold every surface against the model, in the order in which a visit would tell more.

    First what is read without asking Medblocks anything, then the pages that ask about an attempt,
    then those that ask for all connections, and what they taught the others. Staff look before
    all of it or after; at the attempts' own pages at the end of a history alone.
    """
    is_staff_first = story.random.random() < 0.5
    _check_quiet_pages(story)
    if is_staff_first:
        _check_admin(story, staff, with_attempts=is_last)
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
        _check_admin(story, staff, with_attempts=is_last)


def _check_quiet_pages(story: Story) -> None:
    found = dict.fromkeys(PLACES, "offered") | _states(story, {model.CONNECTED: "connected"})
    for name, read in (("search", surfaces.read_search), ("JSON", surfaces.read_json)):
        said = read(story)
        if said or not story.medblocks.is_away:  # nothing is said where there is no catalog
            compare(story, name, said, found)
    compare(story, "suggestions", surfaces.read_suggestions(story), tell_suggestions(story))


def _check_admin(story: Story, staff: Client, *, with_attempts: bool) -> None:
    compare(
        story,
        "admin: attempts",
        {
            key: word
            for key, word in surfaces.read_attempt_list(staff).items()
            if key in _keys(story)
        },
        {attempt.number: tell_status(story, attempt) for attempt in story.attempts},
    )
    for attempt in story.attempts if with_attempts else ():
        said = surfaces.read_attempt_page(staff, attempt)
        true = tell_summary(story, attempt)
        compare(story, "admin: attempt", {attempt.number: said}, {attempt.number: true})
    for concern, holds in (("lost", _has_lost_access), ("unconfirmed", _is_unconfirmed)):
        said = surfaces.read_concern(staff, concern) & _keys(story)
        true = {each.number for each in story.attempts if holds(story, each)}
        compare(
            story,
            f"admin: worth a look, {concern}",
            dict.fromkeys(said, "listed"),
            dict.fromkeys(true, "listed"),
        )
    compare(story, "admin: queue", surfaces.read_queue(story, staff), tell_queue(story))
    if story.attempts:
        compare(
            story,
            "admin: patient",
            surfaces.read_patient_page(story, staff),
            tell_patient_page(story),
        )
        count = str(len(_states(story, {model.CONNECTED: ""})))
        compare(
            story,
            "admin: patients",
            {"places": surfaces.read_patient_count(story, staff)},
            {"places": count},
        )


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
            said[place or "A hospital or clinic"] = words[state]
    return said


def tell_disconnect(story: Story) -> Mapping:
    known = {*story.model.places.values()}
    connected = _states(story, {model.CONNECTED: "connected"})
    return dict.fromkeys(known, "not connected") | connected


def tell_queue(story: Story) -> Mapping:
    return _states(story, {model.LOST: "lost", model.DISCONNECTED: "disconnected"})


def tell_patient_page(story: Story) -> Mapping:
    ended = {model.LOST: "lost", model.DISCONNECTED: "lost", model.ENDED_HERE: "ended here"}
    said = _states(story, ended)
    for place in _states(story, {model.CONNECTED: ""}):
        records = story.model.records_of(place)
        said[place] = "connected" if records == "on their way" else f"connected, {records}"
    return said


def tell_outcome(story: Story, attempt: Attempt) -> str:
    outcome = story.models[attempt.workspace].outcome(attempt)
    if attempt.workspace != story.workspace:
        return "not connected, ended" if outcome == model.CONNECTED else "not connected"
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
        return "not connected, ended"
    return "still connected, unchanged" if is_connected else "not connected"


def tell_status(story: Story, attempt: Attempt) -> str:
    told = story.models[attempt.workspace]
    is_elsewhere = attempt.workspace != story.workspace
    outcome = told.outcome(attempt)
    opened = (
        "Never finished"
        if is_elsewhere
        else "Back, not confirmed"
        if attempt.is_back
        else "At the portal"
    )
    words = {
        model.OPEN: opened,
        model.FAILED: "Failed",
        model.EXPIRED: "Never finished",
        model.CONNECTED: "Connected",
    }
    notes = [words[outcome]]
    if told.has_lost_access(attempt):
        notes.append("access lost later")
    if is_elsewhere:
        notes.append(f"workspace {attempt.workspace}")
    return ", ".join(notes)


def tell_summary(story: Story, attempt: Attempt) -> str:
    told = story.models[attempt.workspace]
    is_here = attempt.workspace == story.workspace
    has_connected = told.outcome(attempt) == model.CONNECTED
    is_connected = is_here and told.state(attempt.place) == model.CONNECTED
    is_later = is_connected and told.is_connected_later(attempt)
    lacks = is_connected and told.records_of(attempt.place) == "missed"
    words = {
        "later": is_later,
        "kept": is_connected and not has_connected and not is_later,
        "ended here": told.was_ended_here(attempt),
        "lost": told.has_lost_access(attempt) and not told.was_ended_here(attempt),
        "missed": has_connected and lacks,
        "tell: connected": is_connected and not lacks,
        "tell: connected, missed": lacks,
        "tell: ended": has_connected and not is_connected,
    }
    return ", ".join(word for word, holds in words.items() if holds)


def _has_lost_access(story: Story, attempt: Attempt) -> bool:
    return story.models[attempt.workspace].has_lost_access(attempt)


def _is_unconfirmed(_story: Story, attempt: Attempt) -> bool:
    return attempt.is_back and attempt.outcome == model.OPEN


def _keys(story: Story) -> set[int]:
    return {attempt.number for attempt in story.attempts}
