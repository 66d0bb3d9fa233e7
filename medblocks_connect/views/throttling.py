"""Throttling: how often one patient may do what; the search alone is counted in Django's cache."""

from __future__ import annotations

import time
from typing import Final

from medblocks_connect.attempts.action_counts import build_counter_key, count_action
from medblocks_connect.cache import cache
from medblocks_connect.conf import Rate, find_rate
from medblocks_connect.patients import Patient

SEARCH: Final = "search"


def count_request(patient: Patient, action: str) -> int:
    """Count one ``action``, a key of the setting ``THROTTLES``, of ``patient``.

    Returns 0 when it is allowed, else the seconds to wait (for ``Retry-After``, RFC 9110). Each
    letter that is typed searches: a count that a cache forgets is better than a write for each.
    """
    if action != SEARCH:
        return count_action(patient.patient_id, action)
    rate = find_rate(action)
    return _count_in_cache(patient, action, rate) if rate else 0


def _count_in_cache(patient: Patient, action: str, rate: Rate) -> int:
    now = time.time()
    key = build_counter_key(patient.patient_id, action, rate.find_end(now))
    if cache.add(key, 1, rate.seconds * 2):
        return 0
    # None where the window ended between the two steps, or the cache is down.
    count = cache.incr(key, rate.seconds * 2)
    if count is None or count <= rate.allowed:
        return 0
    return rate.count_seconds_left(now)
