"""Retries: which failed call is repeated, and after how long.

A GET is repeated after any failure of the network, another call only if it cannot have been sent
(the API has no idempotency key), and all after 429, 502, 503 and 504.
"""

from __future__ import annotations

import secrets
from typing import Final

from medblocks_connect.api.errors import (
    MedblocksAPIError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
)

# The official SDK's back-off, in seconds; the last window serves for every further try.
_BACKOFF_WINDOWS: Final = ((0.25, 0.5), (0.5, 0.75), (1.0, 1.25), (2.0, 2.25))
_REPEATABLE_STATUSES: Final = frozenset({429, 502, 503, 504})
_jitter: Final = secrets.SystemRandom()


def choose_retry_wait(method: str, failure: MedblocksError, tries: int) -> float | None:
    """Return the seconds to wait before the next try, ``None`` if there must not be one."""
    repeatable = (
        isinstance(failure, MedblocksConnectionError)
        or (isinstance(failure, NoAnswerError) and method == "GET")
        or (isinstance(failure, MedblocksAPIError) and failure.status_code in _REPEATABLE_STATUSES)
    )
    if not repeatable:
        return None
    shortest, longest = _BACKOFF_WINDOWS[min(tries, len(_BACKOFF_WINDOWS) - 1)]
    return max(_jitter.uniform(shortest, longest), failure.retry_after or 0.0)
