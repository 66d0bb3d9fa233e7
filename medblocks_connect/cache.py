"""What happens when the host's cache is away: nothing is remembered or counted, and nobody stopped.

Every use of Django's cache goes through :data:`cache` here. A cache that fails is left alone for a
few seconds, so that a patient does not wait for it at each step of a page.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from django.core.cache import cache as hosts_cache

Result = TypeVar("Result")

LEFT_ALONE_SECONDS: Final = 5

logger = logging.getLogger("medblocks_connect.cache")


class ForgivingCache:
    """Django's default cache, whose every failure reads as "not there"."""

    def __init__(self) -> None:
        self._away_until = 0.0  # on time.monotonic's clock; 0 while it works

    def get(self, key: str) -> Any:
        """Return what is kept, None where there is nothing."""
        return self._try(lambda: hosts_cache.get(key), None)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is kept under ``keys``."""
        return self._try(lambda: hosts_cache.get_many(keys), {})

    def set(self, key: str, value: object, timeout: float) -> None:
        """Keep ``value`` for ``timeout`` seconds."""
        self._try(lambda: hosts_cache.set(key, value, timeout), None)

    def set_many(self, values: Mapping[str, object], timeout: float) -> None:
        """Keep each of ``values`` for ``timeout`` seconds."""
        self._try(lambda: hosts_cache.set_many({**values}, timeout), None)

    def add(self, key: str, value: object, timeout: float) -> bool | None:
        """Keep ``value`` unless something is kept; whether it was, None where nobody knows."""
        return self._try(lambda: hosts_cache.add(key, value, timeout), None)

    def incr(self, key: str, timeout: float) -> int | None:
        """Count one up, for ``timeout`` seconds more; None where nothing is there, or is known."""

        def count() -> int | None:
            try:
                counted = hosts_cache.incr(key)
                # A cache in files or a database now keeps it for the site's TIMEOUT, five minutes
                # if none is set, and not for its own time (Django's BaseCache.incr).
                hosts_cache.touch(key, timeout)
                return counted
            except ValueError:  # Django's word for "not there"
                return None

        return self._try(count, None)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget what is kept under ``keys``."""
        self._try(lambda: hosts_cache.delete_many(keys), None)

    def _try(self, use: Callable[[], Result], otherwise: Result) -> Result:
        if time.monotonic() < self._away_until:
            return otherwise
        try:
            result = use()
        except Exception as error:  # noqa: BLE001 - each kind of cache fails in its own way
            if not self._away_until:
                # The error's kind and not its text, which may hold an address or a password.
                logger.warning("The cache cannot be used: %s", type(error).__name__)
            self._away_until = time.monotonic() + LEFT_ALONE_SECONDS
            return otherwise
        self._away_until = 0.0
        return result


cache: Final = ForgivingCache()
