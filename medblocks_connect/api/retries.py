"""Retries: which failed call is repeated, how often, and after how long.

A GET is repeated after any failure of the network, another call only if it cannot have been sent
(the API has no idempotency key), and all after 429, 502, 503 and 504.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
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


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is repeated at most, and the longest wait before that, in seconds.

    What Medblocks asks to wait is waited for in full, or the call is not repeated.
    """

    max_retries: int
    longest_wait: float = math.inf

    def may_repeat_unanswered(self, method: str) -> bool:
        """Return whether a call that was sent and not answered is repeated."""
        return method == "GET" and self.max_retries > 0

    def choose_wait(self, method: str, failure: MedblocksError, tries: int) -> float | None:
        """Return the seconds before the next of ``tries`` so far; None where there is none."""
        if tries > self.max_retries or not _is_repeatable(method, failure):
            return None
        shortest, longest = _BACKOFF_WINDOWS[min(tries, len(_BACKOFF_WINDOWS)) - 1]
        longest = min(longest, self.longest_wait)
        wait = max(_jitter.uniform(min(shortest, longest), longest), failure.retry_after or 0.0)
        return wait if wait <= self.longest_wait else None


def _is_repeatable(method: str, failure: MedblocksError) -> bool:
    return (
        isinstance(failure, MedblocksConnectionError)
        or (isinstance(failure, NoAnswerError) and method == "GET")
        or (isinstance(failure, MedblocksAPIError) and failure.status_code in _REPEATABLE_STATUSES)
    )
