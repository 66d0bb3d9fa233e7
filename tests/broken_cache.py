"""A cache of the tests' host that is away."""

from __future__ import annotations

from django.core.cache.backends.base import BaseCache


class BrokenCache(BaseCache):
    """Fails at everything, and counts how often it was asked."""

    asked = 0

    def __init__(self, _location, params):
        super().__init__(params)

    def _fail(self, *_args, **_kwargs):
        BrokenCache.asked += 1
        raise ConnectionError("redis://:password@cache.example")

    add = get = set = touch = delete = incr = _fail
    get_many = set_many = delete_many = _fail

    def clear(self):
        """Clear nothing: every test does this."""
