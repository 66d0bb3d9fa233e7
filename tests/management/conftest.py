"""The fixtures of attempts, for the commands that work on them."""

from tests.attempts.conftest import breaks_once, make_attempt, make_old, medblocks

__all__ = ["breaks_once", "make_attempt", "make_old", "medblocks"]
