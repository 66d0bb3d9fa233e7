"""Counts of starts, returns and disconnections, in the database: these throttles must hold.

A cache may evict a counter at any time, and Django's default one is each process' own.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Final

from django.db import router
from django.db.models import Case, F, Q, QuerySet, When

from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.cache import build_key, cache
from medblocks_connect.conf import WINDOWS, conf, find_rate
from medblocks_connect.models import ActionCount
from medblocks_connect.timezones import to_stored_time

RETURN: Final = "return"
"""A question to Medblocks for the page of a return or an outcome."""


def count_action(patient_id: str, action: str) -> int:
    """Count one ``action``, a key of the setting ``THROTTLES``, of the patient.

    Returns 0 when it is allowed, else the seconds to wait (for ``Retry-After``, RFC 9110). Raises
    what the database raises.
    """
    rate = find_rate(action)
    if rate is None:
        return 0
    now = time.time()
    ends_at = to_stored_time(datetime.fromtimestamp(rate.find_end(now), timezone.utc))
    key = build_counter_key(patient_id, action, rate.seconds)
    database = router.db_for_write(ActionCount)
    rows = ActionCount.objects.using(database).filter(key=key)
    if _add_one(rows, ends_at, rate.allowed):
        return 0
    defaults = {"count": 1, "ends_at": ends_at}
    _row, is_new = retry_on_deadlock(
        lambda: rows.get_or_create(key=key, defaults=defaults), database
    )
    # One that is not new has reached the limit, or another request has just made it.
    if is_new or _add_one(rows, ends_at, rate.allowed):
        return 0
    return rate.count_seconds_left(now)


def build_counter_key(patient_id: str, action: str, window: int) -> str:
    """Return the key of a patient's counter; ``window`` is its length, in the cache its end."""
    return build_key("throttle", action, patient_id, str(window))


def forget_actions(patient_id: str) -> None:
    """Forget what the patient was counted for, at whatever rates: here, and in Django's cache."""
    database = router.db_for_write(ActionCount)
    keys = [
        build_counter_key(patient_id, action, seconds)
        for action in conf.throttles
        for seconds in WINDOWS.values()
    ]
    rows = ActionCount.objects.using(database).filter(key__in=keys)
    retry_on_deadlock(rows.delete, database)
    now = time.time()
    rates = filter(None, map(find_rate, conf.throttles))
    ends = {rate.find_end(moment) for rate in rates for moment in (now, now - rate.seconds)}
    cache.delete_many(
        build_counter_key(patient_id, action, end) for action in conf.throttles for end in ends
    )


def _add_one(rows: QuerySet[ActionCount], ends_at: datetime | None, allowed: int) -> bool:
    """Count one up where that is allowed, in one statement: of many at once no more pass."""
    has_ended = Q(ends_at__lt=ends_at)
    counted = rows.filter(has_ended | Q(count__lt=allowed))
    return bool(
        retry_on_deadlock(
            lambda: counted.update(
                # In this order: MySQL reads what it has just assigned.
                count=Case(When(has_ended, then=1), default=F("count") + 1),
                ends_at=Case(When(has_ended, then=ends_at), default=F("ends_at")),
            ),
            rows.db,
        )
    )
