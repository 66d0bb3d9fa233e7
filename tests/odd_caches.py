"""Caches of the tests' host that work in part: cluster, replica, memcached's limits, slow."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import ClassVar

from django.core.cache.backends.locmem import LocMemCache

VALUE_MAX_BYTES = 2**20
KEY_MAX_LENGTH = 250


class ClusterCache(LocMemCache):
    """Takes one key at a time, as a Redis cluster does whose keys are on several nodes."""

    def _fail(self, *_args, **_kwargs):
        raise ConnectionError("CROSSSLOT")

    get_many = set_many = delete_many = _fail


class ReplicaCache(LocMemCache):
    """Is read, and takes no writes."""

    KEPT = "kept"

    def get(self, key, default=None, version=None):
        return "kept" if key == self.KEPT else default

    def _fail(self, *_args, **_kwargs):
        raise ConnectionError("READONLY")

    add = set = touch = delete = incr = set_many = delete_many = _fail


class SmallValuesCache(LocMemCache):
    """Refuses values of over a megabyte and keys of over 250 characters, as memcached does."""

    def set(self, key, value, *args, **kwargs):
        if len(key) > KEY_MAX_LENGTH:
            raise ValueError("key too long")
        if len(pickle.dumps(value)) > VALUE_MAX_BYTES:
            raise ValueError("value too large")
        super().set(key, value, *args, **kwargs)

    def add(self, key, value, *args, **kwargs):
        if len(key) > KEY_MAX_LENGTH:
            raise ValueError("key too long")
        return super().add(key, value, *args, **kwargs)


class SlowCache(LocMemCache):
    """Works, and waits at each key; counts how often it was asked."""

    asked = 0
    wait: ClassVar[Callable[[], object]] = lambda: None

    @classmethod
    def forget(cls, wait):
        """Begin anew, with a ``wait`` of the test's."""
        cls.asked, cls.wait = 0, staticmethod(wait)

    def _ask(self):
        SlowCache.asked += 1
        SlowCache.wait()

    def get(self, key, default=None, version=None):
        self._ask()
        return super().get(key, default, version)

    def set(self, key, value, *args, **kwargs):
        self._ask()
        super().set(key, value, *args, **kwargs)

    def add(self, key, value, *args, **kwargs):
        self._ask()
        return super().add(key, value, *args, **kwargs)

    def incr(self, key, delta=1, version=None):
        self._ask()
        return super().incr(key, delta, version)

    def delete(self, key, version=None):
        self._ask()
        return super().delete(key, version)
