"""Runs of operations: whose turn it is, on however many machines, and what a run remembers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import router
from django.db.models import Q, QuerySet
from django.utils import timezone

from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.conf import find_workspace
from medblocks_connect.models import OperationRun, filter_workspace

Result = TypeVar("Result")

Name = OperationRun.Name


def claim_run(name: Name, interval: timedelta) -> bool:
    """Return whether ``name`` is this process' to run now: nobody did within ``interval``.

    Of several processes that ask at once, one is told so. Raises what the database raises.
    """
    now = timezone.now()
    due = _find_rows(name).filter(Q(ran_at=None) | Q(ran_at__lte=now - interval))
    if _write(lambda: due.update(ran_at=now)):
        return True
    return _make_row(name, ran_at=now)


def note_run(name: Name) -> None:
    """Remember that ``name`` ran now."""
    now = timezone.now()
    if not _write(lambda: _find_rows(name).update(ran_at=now)):
        _make_row(name, ran_at=now)


def make_due(name: Name) -> None:
    """Let the next run do ``name``, however lately it ran."""
    _write(lambda: _find_rows(name).update(ran_at=None))


def read_state(name: Name) -> dict[str, Any]:
    """Return what the last run of ``name`` remembered; empty where there was none."""
    text = _find_rows(name).values_list("state", flat=True).first()
    state = json.loads(text) if text else {}
    return state if isinstance(state, dict) else {}


def write_state(name: Name, state: Mapping[str, Any]) -> None:
    """Remember ``state``, which JSON holds, for the next run of ``name``."""
    text = json.dumps(state)
    if not _write(lambda: _find_rows(name).update(state=text)) and not _make_row(name, state=text):
        _write(lambda: _find_rows(name).update(state=text))


def write_moment(moment: datetime | None) -> str:
    """Return a moment as the text that a state holds; ``""`` for None."""
    return moment.isoformat() if moment else ""


def read_moment(text: object) -> datetime | None:
    """Return the moment that :func:`write_moment` wrote; None for anything else."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None


def _find_rows(name: Name) -> QuerySet[OperationRun]:
    """Return the one row where it is written, if any; a replica may lag behind."""
    rows = OperationRun.objects.using(router.db_for_write(OperationRun))
    return filter_workspace(rows.filter(name=name))


def _make_row(name: Name, **columns: Any) -> bool:
    """Make the row; return whether it was not there."""
    rows = OperationRun.objects.using(router.db_for_write(OperationRun))
    workspace = find_workspace()
    _row, is_new = _write(
        lambda: rows.get_or_create(name=name, workspace=workspace, defaults=columns)
    )
    return is_new


def _write(write: Callable[[], Result]) -> Result:
    return retry_on_deadlock(write, router.db_for_write(OperationRun))
