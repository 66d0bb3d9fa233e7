"""A cache of the tests' host that keeps a list of the keys it was given."""

from __future__ import annotations

from typing import ClassVar

from django.core.cache.backends.locmem import LocMemCache


class RecordingCache(LocMemCache):
    """Works, and remembers every key."""

    keys: ClassVar[set[str]] = set()

    def make_key(self, key, version=None):
        """Record ``key``: every use of the cache comes here."""
        self.keys.add(key)
        return super().make_key(key, version)
