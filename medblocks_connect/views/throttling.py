"""Throttling: how often one patient may search and start, counted in Django's cache per window."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from medblocks_connect.cache import cache
from medblocks_connect.conf import RATE, conf
from medblocks_connect.patients import Patient

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def count_request(patient: Patient, action: str) -> int:
    """Count one ``action`` (``"search"``, ``"start"``) of ``patient``.

    Returns 0 when it is allowed, else the seconds to wait (for ``Retry-After``, RFC 9110).
    """
    rate = conf.throttles[action]
    match = RATE.fullmatch(rate) if rate else None
    if match is None:
        return 0
    allowed, window = int(match[1]), _SECONDS[match[2]]
    now = time.time()
    # Hashed: no cache, nor anybody who lists its keys, learns who the patients are.
    counted = f"{action}\0{patient.patient_id}\0{int(now // window)}"
    key = f"medblocks_connect:throttle:{hashlib.sha256(counted.encode()).hexdigest()}"
    if cache.add(key, 1, window * 2):
        return 0
    # None where the window ended between the two steps, or the cache is away.
    count = cache.incr(key, window * 2)
    if count is None or count <= allowed:
        return 0
    return max(1, int(window - now % window) + 1)
