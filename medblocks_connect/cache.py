"""Django's cache: every key, errors as misses, and stale answers where Medblocks has an error.

Every use of it goes through :data:`cache`. While it is down nothing is kept or counted, and nobody
stopped. A cache that fails or is slow is left alone for a few seconds by the whole process, so that
a patient does not wait for it at each step of a page. What must hold does not rest on it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache import cache as hosts_cache
from django.core.cache.backends.base import BaseCache

from medblocks_connect import __version__
from medblocks_connect.api import MedblocksError
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.models import find_installation_id

Result = TypeVar("Result")
Otherwise = TypeVar("Otherwise")
Age: TypeAlias = Literal["fresh", "last-good"]

AGES: Final[tuple[Age, ...]] = ("fresh", "last-good")

LEFT_ALONE_SECONDS: Final = 5

SLOW_SECONDS: Final = 0.5
"""A call that takes longer, or a loop of calls, costs a page more than the cache saves it."""

_ABSENT: Final = object()

logger = logging.getLogger("medblocks_connect.cache")


class _Circuit:
    """One way to use the cache, in this process: tried, or left alone since it failed or was slow.

    Once its time is over, one caller tries, and the others wait for what that one finds.
    """

    def __init__(self, way: str) -> None:
        self._way = way
        self.forget()

    def forget(self) -> None:
        """Begin anew, working."""
        self._is_broken = False
        self._left_alone_until = 0.0  # on time.monotonic's clock

    def may_try(self) -> bool:
        """Return whether the cache may be used in this way now."""
        if not self._is_broken:
            return True
        now = time.monotonic()
        if now < self._left_alone_until:
            return False
        self._left_alone_until = now + LEFT_ALONE_SECONDS
        return True

    def note_success(self) -> None:
        """Note that it works."""
        self._is_broken = False

    def note_failure(self, why: str) -> None:
        """Leave it alone; the first failure of an outage is logged."""
        if not self._is_broken:
            logger.warning("The cache cannot be %s: %s", self._way, why)
        self._left_alone_until = time.monotonic() + LEFT_ALONE_SECONDS
        self._is_broken = True


class ForgivingCache:
    """Django's default cache, whose every failure reads as "not there".

    Reading, writing and many keys at once fail apart: a replica takes no writes, a Redis cluster
    not many keys. Slow is slow in every way.
    """

    def __init__(self) -> None:
        self._reading = _Circuit("read")
        self._writing = _Circuit("written")
        self._many = _Circuit("used for many keys at once")

    def forget(self) -> None:
        """Begin anew, as if it had always worked."""
        for circuit in (self._reading, self._writing, self._many):
            circuit.forget()

    def get(self, key: str) -> Any:
        """Return what is kept; None where there is nothing."""
        return self._try(self._reading, lambda: hosts_cache.get(key), None)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is kept under ``keys``, as far as the time for them reaches."""
        wanted = list(keys)
        if self._takes_many("get_many"):
            found = self._try(self._many, lambda: hosts_cache.get_many(wanted), None)
            if found is not None:
                return found
        kept = {}

        def get(key: str) -> None:
            value = self._try(self._reading, lambda: hosts_cache.get(key, _ABSENT), _ABSENT)
            if value is not _ABSENT:
                kept[key] = value

        self._for_each(wanted, get)
        return kept

    def set(self, key: str, value: object, timeout: float) -> None:
        """Keep ``value`` for ``timeout`` seconds; 0 keeps nothing, not even until it is culled."""

        def set_or_forget() -> None:
            until = time.monotonic() + SLOW_SECONDS
            try:
                hosts_cache.set(key, value, timeout)
            except Exception as error:
                if time.monotonic() > until:
                    raise
                # Memcached takes no value of over a megabyte, which is no outage; an older one
                # must not stay in its place. Where this fails too, it is one.
                hosts_cache.delete(key)
                logger.info("The cache refused a value: %s", type(error).__name__)

        if timeout > 0:
            self._try(self._writing, set_or_forget, None)

    def set_many(self, values: Mapping[str, object], timeout: float) -> None:
        """Keep each of ``values`` for ``timeout`` seconds, as far as the time for them reaches."""
        if self._takes_many("set_many"):
            failed = self._try(self._many, lambda: hosts_cache.set_many({**values}, timeout), None)
            if failed is not None:
                return
        self._for_each(values, lambda key: self.set(key, values[key], timeout))

    def add(self, key: str, value: object, timeout: float) -> bool | None:
        """Keep ``value`` unless something is kept; return whether it was, None where unknown."""
        return self._try(self._writing, lambda: hosts_cache.add(key, value, timeout), None)

    def incr(self, key: str, timeout: float) -> int | None:
        """Count one up, for ``timeout`` seconds more; None where nothing is there, or is known."""

        def increment() -> int | None:
            try:
                return hosts_cache.incr(key)
            except ValueError:  # as Django says "not there"
                return None

        count = self._try(self._writing, increment, None)
        if count is not None:
            # A cache in files or a database now keeps it for the site's TIMEOUT, five minutes if
            # none is set, and not for its own time (Django's BaseCache.incr).
            self._try(self._writing, lambda: hosts_cache.touch(key, timeout), None)
        return count

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget what is kept under ``keys``."""
        unwanted = list(keys)

        def delete_at_once() -> bool:
            hosts_cache.delete_many(unwanted)
            return True

        if self._takes_many("delete_many") and self._try(self._many, delete_at_once, None):
            return

        def delete(key: str) -> None:
            self._try(self._writing, lambda: hosts_cache.delete(key), None)

        self._for_each(unwanted, delete)

    def _takes_many(self, method: str) -> bool:
        """Return whether the host's cache has a command of its own for many keys, to be tried.

        Django's own loops over the keys, however long each takes.
        """
        return getattr(type(caches[DEFAULT_CACHE_ALIAS]), method) is not getattr(BaseCache, method)

    def _for_each(self, keys: Iterable[str], use: Callable[[str], None]) -> None:
        until = time.monotonic() + SLOW_SECONDS
        for key in keys:
            if time.monotonic() > until:
                self._note_slow()
                return
            use(key)

    def _try(
        self, circuit: _Circuit, use: Callable[[], Result], otherwise: Otherwise
    ) -> Result | Otherwise:
        if not circuit.may_try():
            return otherwise
        until = time.monotonic() + SLOW_SECONDS
        result: Result | Otherwise = otherwise
        try:
            result = use()
        except Exception as error:  # noqa: BLE001 - each kind of cache fails in its own way
            # The error's kind and not its text, which may hold an address or a password.
            circuit.note_failure(type(error).__name__)
            is_working = False
        else:
            is_working = True
        if time.monotonic() > until:
            self._note_slow()
        elif is_working:
            circuit.note_success()
        return result

    def _note_slow(self) -> None:
        for circuit in (self._reading, self._writing, self._many):
            circuit.note_failure("too slow")


cache: Final = ForgivingCache()


def build_key(kind: str, *parts: str) -> str:
    """Return the key for what ``kind``, a plain word, and ``parts`` name. No other keys are used.

    Hashed: keys are bounded and plain, what a patient types is not; and nobody who lists them
    learns who the patients are. The installation keeps this site's entries apart from those of
    another one on the same cache, the workspace and the base URL what one Medblocks told apart from
    what another did, the version this release's objects from another's.
    """
    world = [__version__, find_installation_id(), find_workspace(), conf.base_url]
    named = json.dumps([*world, *parts])
    return f"medblocks_connect:{kind}:{hashlib.sha256(named.encode()).hexdigest()}"


def get_or_fetch(
    find: Callable[[Age], Result | None],
    fetch: Callable[[], Result],
    keep: Callable[[Result], None],
) -> Result:
    """Return a fresh answer of Medblocks, or, stale if error, its last good one.

    ``find`` looks for a kept answer; where none is fresh, one is fetched, and ``keep`` keeps it.
    Where ``fetch`` raises ``MedblocksError``, the last good answer stands in; without one the
    error is raised.
    """
    answer = find("fresh")
    if answer is not None:
        return answer
    try:
        answer = fetch()
    except MedblocksError:
        answer = find("last-good")
        if answer is None:
            raise
        return answer
    keep(answer)
    return answer
