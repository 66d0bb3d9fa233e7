"""Case 68: a patient who reloads for ever costs a handful of questions and a bounded timeline."""

from __future__ import annotations

import pytest

from medblocks_connect.attempts.settle import MAX_CLAIMS_TOLD
from tests.faults.clinic import SESSION

RELOADS = 300


def reload_return(clinic):
    clinic.come_back()


def reload_changed_return(clinic):
    reload_changed_return.number += 1
    clinic.come_back(success="false", error=f"code_{reload_changed_return.number}")


reload_changed_return.number = 0


def reload_outcome(clinic):
    clinic.page()


@pytest.mark.parametrize(
    "reload",
    [
        pytest.param(reload_return, id="case-68-the-return"),
        pytest.param(reload_changed_return, id="case-68-another-claim-each-time"),
        pytest.param(reload_outcome, id="case-68-the-outcome"),
    ],
)
def test_many_reloads_ask_now_and_then(clinic, reload):
    clinic.started()
    clinic.come_back()
    for _number in range(RELOADS):
        reload(clinic)
    # One every few seconds, however slow the machine is that runs this.
    assert clinic.medblocks.count("GET", SESSION) <= RELOADS // 10
    assert clinic.attempt.events.count() <= MAX_CLAIMS_TOLD + 5
