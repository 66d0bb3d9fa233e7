"""How many queries the patients' pages and a webhook take: what each kept state costs, and no more.

What Medblocks' sandbox asks of its own tables, in the same process, is not counted.
"""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from medblocks_connect.sandbox import flows
from tests.faults.conftest import clinic, medblocks  # noqa: F401 - fixtures
from tests.faults.events import completed

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = "/records/connections/"
STATEMENTS = {"SELECT", "INSERT", "UPDATE", "DELETE"}


@pytest.fixture
def connected(clinic):  # noqa: F811
    """A patient with a connection, in a site with a catalog."""
    call_command("medblocks_sync_facilities", pause=0, verbosity=0)
    clinic.started()
    flows.approve(clinic.session)
    clinic.come_back()
    for path in (CONNECTIONS, "/records/search/?q=river", "/records/search/"):
        assert clinic.client.get(path).status_code == 200
    return clinic


def count(ask) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert ask().status_code == 200
    ours = [each["sql"] for each in asked if "medblocks_sandbox_" not in each["sql"]]
    return sum(sql.split()[0] in STATEMENTS for sql in ours)


def open_page(clinic, path):  # noqa: F811
    return lambda: clinic.client.get(path)


# The session, the user, what was settled, the connections with their links, what is checked.
def test_connections_page_takes_at_most_5_queries(connected):
    assert count(open_page(connected, CONNECTIONS)) <= 5


# And when Medblocks was asked.
def test_connections_page_takes_at_most_6_queries_when_medblocks_is_asked(connected):
    connected.started()  # what is settled lets it be asked anew
    asked = connected.medblocks.count("GET", "/patients/")
    assert count(open_page(connected, CONNECTIONS)) <= 6
    assert connected.medblocks.count("GET", "/patients/") == asked + 1


# As many as before connections were kept; where they are connected was asked of the attempts then.
def test_search_page_with_results_takes_at_most_7_queries(connected):
    assert count(open_page(connected, "/records/search/?q=river")) <= 7


def test_search_by_json_takes_at_most_5_queries(connected):
    assert count(open_page(connected, "/records/api/connections/?q=river")) <= 5


# The session, the user, the attempt, its timeline, and whether it is connected now.
def test_outcome_page_takes_at_most_5_queries(connected):
    assert count(open_page(connected, connected.attempt.get_absolute_url())) <= 5


# The attempt, its timeline, the delivery, and the patient's place with its link.
def test_webhook_of_a_success_takes_at_most_9_queries(clinic):  # noqa: F811
    clinic.started()
    flows.approve(clinic.session)
    assert count(lambda: clinic.send(completed(clinic.session))) <= 9
