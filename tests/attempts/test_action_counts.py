"""Counts of patients' actions in the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from medblocks_connect.attempts.action_counts import count_action
from medblocks_connect.models import ActionCount

pytestmark = pytest.mark.django_db


def test_windows_that_pass_leave_one_row(now, rate):
    for _window in range(5):
        count_action("ann", "start")
        now[0] += 60
    assert ActionCount.objects.count() == 1


def test_row_names_nobody():
    count_action("ann@mail.example", "start")
    row = ActionCount.objects.get()
    assert not any("ann" in str(value) for value in vars(row).values())


def test_clock_that_is_behind_another_machines_counts_in_its_window(now, rate):
    rate(start="1/m")
    now[0] += 60
    count_action("ann", "start")
    now[0] -= 1
    assert count_action("ann", "start") > 0


def test_higher_rate_allows_more_at_once(now, rate):
    rate(start="1/m")
    count_action("ann", "start")
    rate(start="2/m")
    assert count_action("ann", "start") == 0


def test_other_workspace_counts_apart(now, rate, settings):
    rate(start="1/m")
    count_action("ann", "start")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WORKSPACE": "other"}
    assert count_action("ann", "start") == 0


def test_known_patient_costs_one_query(now, rate, django_assert_num_queries):
    count_action("ann", "start")
    with django_assert_num_queries(1):
        count_action("ann", "start")


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_pass_no_more_than_the_rate(now, rate):
    rate(start="5/m")

    def count(_number):
        try:
            return count_action("ann", "start")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(count, range(40))]
    assert answers.count(0) == 5
