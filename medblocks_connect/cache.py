"""Django's cache: every key, errors as misses, and stale answers where Medblocks has an error.

Every use of it goes through :data:`cache`. While it is down nothing is kept or counted, and nobody
stopped. A cache that fails is left alone for a few seconds, so that a patient does not wait for it
at each step of a page.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

from django.core.cache import cache as hosts_cache

from medblocks_connect import __version__
from medblocks_connect.api import MedblocksError
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.models import find_installation_id

Result = TypeVar("Result")
Age: TypeAlias = Literal["fresh", "last-good"]

AGES: Final[tuple[Age, ...]] = ("fresh", "last-good")

LEFT_ALONE_SECONDS: Final = 5

logger = logging.getLogger("medblocks_connect.cache")


class ForgivingCache:
    """Django's default cache, whose every failure reads as "not there"."""

    def __init__(self) -> None:
        self._unavailable_until = 0.0  # on time.monotonic's clock; 0 while it works

    def get(self, key: str) -> Any:
        """Return what is kept; None where there is nothing."""
        return self._try(lambda: hosts_cache.get(key), None)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is kept under ``keys``."""
        return self._try(lambda: hosts_cache.get_many(keys), {})

    def set(self, key: str, value: object, timeout: float) -> None:
        """Keep ``value`` for ``timeout`` seconds; 0 keeps nothing, not even until it is culled."""
        if timeout > 0:
            self._try(lambda: hosts_cache.set(key, value, timeout), None)

    def set_many(self, values: Mapping[str, object], timeout: float) -> None:
        """Keep each of ``values`` for ``timeout`` seconds."""
        self._try(lambda: hosts_cache.set_many({**values}, timeout), None)

    def add(self, key: str, value: object, timeout: float) -> bool | None:
        """Keep ``value`` unless something is kept; return whether it was, None where unknown."""
        return self._try(lambda: hosts_cache.add(key, value, timeout), None)

    def incr(self, key: str, timeout: float) -> int | None:
        """Count one up, for ``timeout`` seconds more; None where nothing is there, or is known."""

        def increment() -> int | None:
            try:
                count = hosts_cache.incr(key)
                # A cache in files or a database now keeps it for the site's TIMEOUT, five minutes
                # if none is set, and not for its own time (Django's BaseCache.incr).
                hosts_cache.touch(key, timeout)
                return count
            except ValueError:  # as Django says "not there"
                return None

        return self._try(increment, None)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget what is kept under ``keys``."""
        self._try(lambda: hosts_cache.delete_many(keys), None)

    def _try(self, use: Callable[[], Result], otherwise: Result) -> Result:
        if time.monotonic() < self._unavailable_until:
            return otherwise
        try:
            result = use()
        except Exception as error:  # noqa: BLE001 - each kind of cache fails in its own way
            if not self._unavailable_until:
                # The error's kind and not its text, which may hold an address or a password.
                logger.warning("The cache cannot be used: %s", type(error).__name__)
            self._unavailable_until = time.monotonic() + LEFT_ALONE_SECONDS
            return otherwise
        self._unavailable_until = 0.0
        return result


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
