"""Two workspaces of one site in one database, by host: nothing of one counts in the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.medblocks import FakeMedblocks
from tests.hosts.site import Project, Visitor, wait_until

FOLDER = Path(__file__).parent / "workspaces"
WORKSPACES = ("adults", "children")
KEYS = {name: f"mb_sk_live_key_for_{name}" for name in WORKSPACES}
SECRETS = {name: f"whsec_for_{name}" for name in WORKSPACES}
# Both bear the id fhirsrc_0.
NAMES = {"adults": "Aurora Eye Center", "children": "Zebra Eye Institute"}
ADD_USERS = """
from django.contrib.auth.models import User
for name in ("pat", "sam", "kim"):
    User.objects.create_user(name, password="secret")
User.objects.create_superuser("staff", password="secret")
"""


@pytest.fixture(scope="module")
def medblocks() -> Iterator[FakeMedblocks]:
    medblocks = FakeMedblocks({KEYS[name]: [NAMES[name]] for name in WORKSPACES})
    yield medblocks
    medblocks.stop()


@pytest.fixture(scope="module")
def project(medblocks, tmp_path_factory) -> Project:
    environment = {"MEDBLOCKS_BASE_URL": medblocks.url}
    for name in WORKSPACES:
        environment[f"MEDBLOCKS_API_KEY_{name.upper()}"] = KEYS[name]
        environment[f"MEDBLOCKS_WEBHOOK_SECRET_{name.upper()}"] = SECRETS[name]
    database = tmp_path_factory.mktemp("workspaces") / "clinic.sqlite3"
    project = Project(FOLDER, f"sqlite:///{database}", environment)
    # Of neither workspace: no callable is called.
    project.manage("migrate", "--verbosity", "0")
    project.manage("shell", "--no-imports", "--command", ADD_USERS)
    return project


@pytest.fixture(scope="module")
def port(project, tmp_path_factory) -> Iterator[int]:
    with project.serve(tmp_path_factory.mktemp("workspaces") / "log") as port:
        yield port


@pytest.fixture
def sign_in(port, medblocks):
    def sign_in(user: str) -> tuple[Visitor, Visitor]:
        visitors = []
        for name in WORKSPACES:
            workspace = medblocks.workspaces[KEYS[name]]
            visitors.append(Visitor(f"{name}.localhost", port, workspace, SECRETS[name]))
            visitors[-1].sign_in(user)
        return visitors[0], visitors[1]

    return sign_in


def shell(project: Project, *lines: str) -> str:
    attempts = "from medblocks_connect.models import PatientConnectionAttempt as Attempt"
    code = "\n".join((attempts, *lines))
    return project.manage("shell", "--no-imports", "--command", code)


def test_search_alternating_finds_each_workspaces_own(sign_in):
    adults, children = sign_in("pat")
    for _ in range(2):
        assert adults.search("eye") == [NAMES["adults"]]
        assert children.search("eye") == [NAMES["children"]]


def test_search_with_catalogs_finds_each_workspaces_own(project, sign_in):
    for name in WORKSPACES:
        project.manage("medblocks_sync_facilities", MEDBLOCKS_WORKSPACE=name)
    adults, children = sign_in("pat")
    asked = [visitor.workspace.count("GET /connections") for visitor in (adults, children)]
    for _ in range(2):
        assert (adults.search("aurrora"), children.search("aurrora")) == ([NAMES["adults"]], [])
        assert (adults.search("zebrra"), children.search("zebrra")) == ([], [NAMES["children"]])
    now = [visitor.workspace.count("GET /connections") for visitor in (adults, children)]
    assert now == asked


def test_connection_of_one_workspace_is_none_in_the_other(sign_in):
    adults, children = sign_in("sam")
    assert "You are connected" in adults.connect()
    assert NAMES["adults"] in adults.read("/records/connections/")
    page = children.read("/records/connections/")
    assert NAMES["adults"] not in page
    assert NAMES["children"] not in page


def test_webhook_with_the_other_workspaces_secret_is_refused(sign_in):
    adults, children = sign_in("kim")
    session = adults.workspace.approve(adults.start()["id"])
    assert children.send_completed(session, SECRETS["adults"]) == 400
    assert adults.send_completed(session) == 200


def test_webhook_about_the_other_workspaces_session_has_no_effect(project, sign_in):
    adults, children = sign_in("kim")
    session = adults.workspace.approve(adults.start()["id"])
    status = f"print(Attempt.objects.get(patient_session_id='{session['id']}').status)"
    assert children.send_completed(session) == 200
    assert shell(project, status) == "started\n"
    assert adults.send_completed(session) == 200
    assert shell(project, status) == "succeeded\n"


def test_what_follows_a_webhook_is_of_its_workspace(project, sign_in):
    """The middleware has returned by then."""
    adults, _children = sign_in("kim")
    session = adults.workspace.approve(adults.start()["id"])
    lost = {**session["connections"][0], "status": "expired", "failure_at": "2099-01-01T00:00Z"}
    assert adults.send("connection.token_refresh_failed", lost) == 200  # which waits
    assert adults.send_completed(session) == 200
    status = f"Attempt.objects.get(patient_session_id='{session['id']}').connection_status"
    wait_until(lambda: shell(project, f"print({status})") == "expired\n")


def test_reconciliation_settles_the_workspace_of_the_environment_alone(project, sign_in):
    for visitor in sign_in("kim"):
        visitor.workspace.approve(visitor.start()["id"])
    shell(project, "Attempt.objects.update(created_at='2026-01-01T00:00Z', settled_at=None)")
    reconcile = ["medblocks_reconcile", "--limit=1000"]
    project.manage(*reconcile, MEDBLOCKS_WORKSPACE="children")
    count = "print(*Attempt.objects.filter(status='started').values_list('workspace', flat=True))"
    assert set(shell(project, count).split()) == {"adults"}


def test_pruning_is_of_both_workspaces(project, sign_in):
    for visitor in sign_in("sam"):
        visitor.come_back(visitor.start(), success=False)
    shell(project, "Attempt.objects.update(created_at='2001-01-01T00:00Z')")
    project.manage("medblocks_prune", "--older-than=6y", "--connected-too")
    assert shell(project, "print(Attempt.objects.count())") == "0\n"


def test_staff_see_both_workspaces_and_which_is_the_other(sign_in):
    for visitor in sign_in("pat"):
        visitor.connect()
    staff, _ = sign_in("staff")
    page = staff.read("/admin/medblocks_connect/patientconnectionattempt/")
    assert all(name in page for name in NAMES.values())
    assert page.count("Connected workspace children") == 1
    assert "Connected workspace adults" not in page
