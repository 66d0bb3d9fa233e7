"""The model: what is true of a patient at each place, as far as the site was told. Ten rules.

A *moment* is the number of a step of the history. Nothing of the app is imported here: what the app
says on each of its pages is held against these rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

NEVER = "never"
CONNECTED = "connected"
LOST = "lost"
DISCONNECTED = "disconnected"  # at the portal, or wherever it was not on our own page
ENDED_HERE = "ended here"
CHECKED = "checked"

WORKS = "works"
OPEN = "open"
FAILED = "failed"
EXPIRED = "expired"


@dataclass(frozen=True)
class Word:
    """What the site was told of a link: that it was so at ``moment``.

    ``ended`` is the moment in which it ended, where that is told. ``by`` is the attempt whose
    session says so: it speaks to that one alone.
    """

    link: str
    says: str  # WORKS, LOST, DISCONNECTED or ENDED_HERE
    moment: int
    ended: int | None = None
    by: int | None = None

    @property
    def was_so_at(self) -> int:
        """When it began to be so, as far as is told."""
        return self.moment if self.ended is None else self.ended


@dataclass(frozen=True)
class Records:
    """That records of a place came, or were missed, or both, at ``moment``."""

    place: str
    moment: int
    came: bool
    missed: bool


@dataclass(eq=False)
class Attempt:
    """A patient's try, and what the site was told of it."""

    number: int
    workspace: str
    place: str  # "" where the patient chooses at Medblocks, until that is told
    began: int
    outcome: str = OPEN
    link: str = ""  # that it connected
    connected: set[str] = field(default_factory=set)  # the places
    came_back: int = -1  # when they came back first
    claims_success: bool = False
    claims_failure: bool = False
    was_refused: bool = False  # by the patient, with their own "no"

    @property
    def is_back(self) -> bool:
        """Whether the patient came back from the portal."""
        return self.came_back >= 0


@dataclass
class Model:
    """Everything that the site was told in one workspace, and what follows from it."""

    words: list[Word] = field(default_factory=list)
    records: list[Records] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)  # by link: those whose making was told

    # 1. Of what was told of a link, the latest stands, in whatever order it was told.
    def works(self, link: str) -> bool:
        return max(self._of(link), key=_in_order).says == WORKS

    # 2. A patient is connected to a place while one of its links works, by whatever name it was
    #    chosen, whichever attempt made it.
    # 3. Otherwise what ended last says how it ended; who ended it on our own page did so there.
    def state(self, place: str) -> str:
        links = self.links_at(place)
        if any(map(self.works, links)):
            return CONNECTED
        return self._how_it_ended(max(links, key=self._ended)) if links else NEVER

    # 4. While the newest attempt at a place is back without word, the place is being checked,
    #    unless the patient is connected there.
    def shown(self, place: str) -> str:
        own = [attempt for attempt in self.attempts if attempt.place == place]
        newest = own[-1] if own else None
        waits = newest and newest.is_back and newest.outcome == OPEN and not newest.claims_failure
        state = self.state(place)
        return CHECKED if waits and state != CONNECTED else state

    # 5. Records lack while they were missed last; they have come, or are on their way.
    def records_of(self, place: str) -> str:
        of_place = [told for told in self.records if told.place == place]
        came = max((told.moment for told in of_place if told.came), default=-1)
        missed = max((told.moment for told in of_place if told.missed), default=-1)
        if missed >= 0 and missed >= came:
            return "missed"
        return "came" if came >= 0 else "on their way"

    # 6. An attempt is what Medblocks said of it, else what the patient came back with.
    def outcome(self, attempt: Attempt) -> str:
        if attempt.outcome == OPEN and attempt.claims_failure:
            return FAILED
        return attempt.outcome

    def disagrees(self, attempt: Attempt) -> bool:
        """Return whether the patient came back with another outcome than Medblocks tells."""
        if attempt.outcome == CONNECTED:
            return attempt.claims_failure
        return attempt.claims_success and attempt.outcome in {FAILED, EXPIRED}

    def has_failed_twice(self, attempt: Attempt) -> bool:
        """Return whether it failed, as the one before did, a patient's own "no" aside."""
        told = [
            self.outcome(each) in {FAILED, EXPIRED}
            for each in self.attempts
            if each.place == attempt.place
            and each.number <= attempt.number
            and not each.was_refused
            and self.outcome(each) != OPEN
        ]
        is_own = self.outcome(attempt) in {FAILED, EXPIRED} and not attempt.was_refused
        return is_own and told[-2:] == [True, True]

    # 7. A later attempt connected the place where Medblocks said so of it, and it works now.
    def is_connected_later(self, attempt: Attempt) -> bool:
        return self.state(attempt.place) == CONNECTED and any(
            later.number > attempt.number and attempt.place in later.connected
            for later in self.attempts
        )

    # 8. The access had ended, and was won again, where a while since the attempt connected was
    #    without any link that worked.
    def was_won_again(self, attempt: Attempt) -> bool:
        links = self.links_at(attempt.place)
        # What is told of its own link first: also an end tells that it had connected.
        own = [word.was_so_at for word in self._of(attempt.link)]
        after = attempt.began + 1
        connected = min((moment for moment in own if moment >= after), default=after)
        moments = {word.was_so_at for link in links for word in self._of(link)}
        return self.state(attempt.place) == CONNECTED and any(
            not any(self._worked_at(link, moment) for link in links)
            for moment in moments
            if moment >= connected  # a link may end in the moment that it is first seen to work
        )

    # 9. An attempt lost its access where it heard that its own link ended after it began.
    def has_lost_access(self, attempt: Attempt) -> bool:
        return attempt.outcome == CONNECTED and any(
            word.says != WORKS and (word.ended or word.moment) > attempt.began
            for word in self._of(attempt.link)
            if word.by in (None, attempt.number)
        )

    def was_ended_here(self, attempt: Attempt) -> bool:
        """Return whether its own link was ended on our own page, or the place was, as it stands."""
        was_own = any(
            word.says == ENDED_HERE and word.moment > attempt.began
            for word in self._of(attempt.link)
        )
        is_over = self.state(attempt.place) == ENDED_HERE
        return self.has_lost_access(attempt) and (was_own or is_over)

    # 10. Nothing of another workspace is true here: each has a model of its own.

    def links_at(self, place: str) -> list[str]:
        """Return the links of ``place`` whose making was told."""
        return [link for link, at in self.places.items() if at == place]

    def _of(self, link: str) -> list[Word]:
        return [word for word in self.words if word.link == link]

    def _worked_at(self, link: str, moment: int) -> bool:
        before = [word for word in self._of(link) if word.was_so_at <= moment]
        latest = max(before, key=lambda word: (word.was_so_at, word.says != WORKS), default=None)
        return latest is not None and latest.says == WORKS

    def _ends(self, link: str) -> list[Word]:
        """Return the words that it ended, since it last worked."""
        worked = [word.moment for word in self._of(link) if word.says == WORKS]
        since = max(worked, default=-1)
        return [word for word in self._of(link) if word.says != WORKS and word.moment >= since]

    def _ended(self, link: str) -> int:
        """Return the moment that a link ended in: as it was told, else when it was heard of."""
        ends = self._ends(link)
        told = [word.ended for word in ends if word.ended is not None]
        return max(told) if told else min(word.moment for word in ends)

    def _how_it_ended(self, link: str) -> str:
        ends = self._ends(link)
        if any(word.says == ENDED_HERE for word in ends):
            return ENDED_HERE
        return max(ends, key=lambda word: word.moment).says


def _in_order(word: Word) -> tuple[int, bool]:
    """Order words as they were so: within a step, the end of a link comes last."""
    return word.moment, word.says != WORKS


def list_open(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return the attempts of which Medblocks has not said what came of them."""
    return [attempt for attempt in attempts if attempt.outcome == OPEN]
