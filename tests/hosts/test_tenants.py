"""Two clinics in one process, each with a schema, a key and a host: neither has the other's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from tests.faults.processes import database_url
from tests.hosts.medblocks import FakeMedblocks, return_address
from tests.hosts.site import Project, Visitor, wait_until

if not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
    pytest.skip("django-tenants needs PostgreSQL (DATABASE_URL)", allow_module_level=True)
pytest.importorskip("django_tenants", reason="django-tenants is not installed")
psycopg = pytest.importorskip("psycopg")

FOLDER = Path(__file__).parent / "tenants"
DATABASE = "medblocks_connect_tenants"
SCHEMAS = ("north", "south")
# Both bear the id fhirsrc_0. The third clinic comes and goes.
NAMES = {"north": "Aurora Eye Center", "south": "Zebra Eye Institute", "east": "East Hospital"}
KEYS = {schema: f"mb_sk_live_key_of_{schema}" for schema in NAMES}
SECRETS = {schema: f"whsec_of_{schema}" for schema in NAMES}
PATIENTS = itertools.count(1)


@dataclass
class Clinics:
    """The site with both clinics; ``visit`` gives a browser in which nobody is signed in."""

    project: Project
    port: int
    medblocks: FakeMedblocks

    def visit(self, schema: str) -> Visitor:
        workspace = self.medblocks.workspaces[KEYS[schema]]
        return Visitor(f"{schema}.localhost", self.port, workspace, SECRETS[schema])

    def query(self, schema: str, statement: str, *parameters: Any) -> list[Any]:
        """Return the first column of what is in a schema, as the database itself has it."""
        with psycopg.connect(self.project.database_url, autocommit=True) as connection:
            connection.execute(f"SET search_path TO {schema}")
            done = connection.execute(statement, parameters)
            return [row[0] for row in done] if done.description else []

    def status(self, schema: str, session_id: str) -> str:
        """Return the status of the attempt of this session; "" where there is none."""
        statement = (
            "SELECT status FROM medblocks_connect_patientconnectionattempt"
            " WHERE patient_session_id = %s"
        )
        return next(iter(self.query(schema, statement, session_id)), "")

    def deliveries(self, schema: str, session_id: str) -> list[str]:
        """Return the states of the webhook deliveries about this session."""
        statement = (
            "SELECT state FROM medblocks_connect_webhookdelivery WHERE patient_session_id = %s"
        )
        return self.query(schema, statement, session_id)

    def letters(self, schema: str, patient_id: str) -> list[str]:
        return self.query(
            schema, "SELECT facility FROM letters_letter WHERE patient_id = %s", patient_id
        )


@pytest.fixture(scope="module")
def project(django_db_setup) -> Iterator[Project]:
    """The site on a database of its own, in which there is no clinic yet."""
    server = database_url()
    name = f"{DATABASE}_{urlsplit(server).path.lstrip('/')}"  # of each worker
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
        yield Project(FOLDER, urlsplit(server)._replace(path=f"/{name}").geturl())
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def commands_without_clinics(project) -> dict[str, Any]:
    """Run what a site does before it has a clinic."""
    commands = {
        "check": ["check"],
        "makemigrations": ["makemigrations", "--check", "--dry-run"],
        "migrate_schemas": ["migrate_schemas", "--verbosity", "0"],
    }
    return {name: project.run(*command) for name, command in commands.items()}


def open_clinic(project: Project, schema: str, medblocks_url: str) -> None:
    what = (schema, KEYS[schema], SECRETS[schema], medblocks_url)
    project.manage("open_clinic", *what, "--verbosity", "0")


@pytest.fixture(scope="module")
def clinics(project, commands_without_clinics, tmp_path_factory) -> Iterator[Clinics]:
    medblocks = FakeMedblocks({KEYS[schema]: [NAMES[schema]] for schema in NAMES})
    try:
        for schema in SCHEMAS:
            open_clinic(project, schema, medblocks.url)
        with project.serve(tmp_path_factory.mktemp("tenants") / "log") as port:
            yield Clinics(project, port, medblocks)
    finally:
        medblocks.stop()


@pytest.fixture
def patient() -> str:
    """The id of a user of both clinics whom no other test has; ``patient-<id>`` is the name."""
    return str(next(PATIENTS))


@pytest.fixture
def sign_in(clinics) -> Callable[..., Visitor]:
    def sign_in(schema: str, name: str) -> Visitor:
        visitor = clinics.visit(schema)
        visitor.sign_in(name)
        return visitor

    return sign_in


@pytest.fixture
def both(sign_in, patient) -> tuple[Visitor, Visitor]:
    """The patient of the same id in north's browser, and in south's."""
    north, south = (sign_in(schema, f"patient-{patient}") for schema in SCHEMAS)
    # On one connection, so that one thread of the server answers both in turn.
    south.browser.mount("http://", north.browser.get_adapter("http://"))
    return north, south


@pytest.mark.parametrize("command", ["check", "makemigrations", "migrate_schemas"])
def test_command_without_a_clinic_succeeds(commands_without_clinics, command):
    done = commands_without_clinics[command]
    assert done.returncode == 0, done.stdout + done.stderr


def assert_each_finds_its_own(north: Visitor, south: Visitor) -> None:
    norths, souths = [NAMES["north"]], [NAMES["south"]]
    for text, expected in (
        ("aurora", (norths, [])),
        ("eye", (norths, souths)),
        ("zebra", ([], souths)),
    ):
        assert (north.search(text), south.search(text)) == expected


def test_search_alternating_finds_each_clinics_own(both):
    assert_each_finds_its_own(*both)
    asked = [visitor.workspace.count("GET /connections") for visitor in both]
    assert all(asked)
    assert_each_finds_its_own(*both)
    # By then it is all in the cache that both share.
    assert [visitor.workspace.count("GET /connections") for visitor in both] == asked


def search_many_times(both: tuple[Visitor, Visitor]) -> list[list[str]]:
    """Search for the same in turn, in several threads of the server; return what was found."""

    def search(number: int) -> list[str]:
        visitor = both[number % 2]
        own = Visitor(visitor.host, visitor.port, visitor.workspace, visitor.secret)
        own.browser.cookies.update(visitor.browser.cookies)
        return own.search("eye")

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(search, range(40)))


def test_search_in_many_threads_finds_each_clinics_own(both):
    assert search_many_times(both) == [[NAMES["north"]], [NAMES["south"]]] * 20


def test_search_with_catalogs_finds_each_clinics_own(clinics, both):
    for schema in SCHEMAS:
        sync = ["tenant_command", "medblocks_sync_facilities", f"--schema={schema}"]
        assert "1 facilities" in clinics.project.manage(*sync)
    asked = [visitor.workspace.count("GET /connections") for visitor in both]
    assert_each_finds_its_own(*both)
    assert search_many_times(both) == [[NAMES["north"]], [NAMES["south"]]] * 20
    for typo in ("aurrora", "zebrra"):  # which Medblocks' own search would not find
        found = [visitor.search(typo) for visitor in both]
        assert found == ([[NAMES["north"]], []] if typo[0] == "a" else [[], [NAMES["south"]]])
    assert [visitor.workspace.count("GET /connections") for visitor in both] == asked


def test_connecting_in_one_clinic_ends_connected(clinics, both, patient):
    north, _south = both
    session = north.start()
    assert session["return_url"] == f"http://north.localhost:{clinics.port}/records/return/"
    north.workspace.approve(session["id"])
    page = north.come_back(session)
    assert "You are connected" in page
    assert NAMES["north"] in page
    assert clinics.status("north", session["id"]) == "succeeded"
    assert clinics.letters("north", patient) == [NAMES["north"]]


def test_connecting_in_one_clinic_leaves_the_other_alone(clinics, both, patient):
    north, south = both
    attempt = north.start()
    north.workspace.approve(attempt["id"])
    north.come_back(attempt)
    assert NAMES["north"] in north.read("/records/connections/")
    assert NAMES["north"] in north.read("/records/search/")  # as the patient's own
    for path in ("/records/connections/", "/records/search/"):
        page = south.read(path)
        assert NAMES["north"] not in page
        assert NAMES["south"] not in page
    assert clinics.status("south", attempt["id"]) == ""
    assert clinics.letters("south", patient) == []


def test_attempt_page_of_the_other_clinic_is_not_found(both):
    north, south = both
    session = north.workspace.approve(north.start()["id"])
    address = north.get(return_address(session), allow_redirects=False).headers["Location"]
    assert north.get(address).status_code == 200
    assert south.get(address).status_code == 404


def test_session_cookie_of_the_other_clinic_signs_nobody_in(clinics, both):
    norths = {"Cookie": f"sessionid={both[0].browser.cookies['sessionid']}"}
    statuses = [
        clinics.visit(schema)
        .get("/records/connections/", headers=norths, allow_redirects=False)
        .status_code
        for schema in SCHEMAS
    ]
    assert statuses == [200, 302]


def test_throttle_counts_for_each_clinic(both):
    north, south = both
    statuses = [north.post("/records/start/").status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    assert south.post("/records/start/").status_code == 400


def test_webhook_at_its_clinics_host_has_its_effect_there_alone(clinics, both, patient):
    north, _south = both
    session = north.workspace.approve(north.start()["id"])
    assert north.send_completed(session) == 200
    assert clinics.status("north", session["id"]) == "succeeded"
    # Its signal follows the answer.
    wait_until(lambda: clinics.letters("north", patient) == [NAMES["north"]])
    assert clinics.letters("south", patient) == []
    assert clinics.deliveries("south", session["id"]) == []


def test_webhook_with_the_other_clinics_secret_is_refused(clinics, both):
    north, south = both
    session = north.workspace.approve(north.start()["id"])
    assert south.send_completed(session, SECRETS["north"]) == 400
    assert clinics.status("north", session["id"]) == "started"
    assert [clinics.deliveries(schema, session["id"]) for schema in SCHEMAS] == [[], []]


def test_webhook_about_the_other_clinics_session_has_no_effect(clinics, both, patient):
    north, south = both
    session = north.workspace.approve(north.start()["id"])
    assert south.send_completed(session) == 200
    assert clinics.deliveries("south", session["id"]) == ["received"]
    assert clinics.deliveries("north", session["id"]) == []
    assert clinics.status("north", session["id"]) == "started"
    assert [clinics.letters(schema, patient) for schema in SCHEMAS] == [[], []]


def leave_at_the_portal(clinics: Clinics, visitor: Visitor, schema: str) -> str:
    """Start a connection an hour ago that Medblocks knows more about by now; return its id."""
    session_id = visitor.workspace.approve(visitor.start()["id"])["id"]
    statement = (
        "UPDATE medblocks_connect_patientconnectionattempt"
        " SET created_at = created_at - interval '1 hour' WHERE patient_session_id = %s"
    )
    clinics.query(schema, statement, session_id)
    return session_id


def test_reconciliation_settles_its_own_clinic_alone(clinics, both, patient):
    ours, theirs = (
        leave_at_the_portal(clinics, visitor, schema)
        for visitor, schema in zip(both, SCHEMAS, strict=True)
    )
    clinics.project.manage("tenant_command", "medblocks_reconcile", "--schema=north")
    assert clinics.status("north", ours) == "succeeded"
    assert clinics.status("south", theirs) == "started"
    assert clinics.letters("north", patient) == [NAMES["north"]]
    assert clinics.letters("south", patient) == []


def test_pruning_deletes_in_its_own_clinic_alone(clinics, both):
    for visitor in both:
        visitor.come_back(visitor.start(), success=False)
    old = "UPDATE medblocks_connect_patientconnectionattempt SET created_at = '2001-01-01'"
    count = "SELECT count(*) FROM medblocks_connect_patientconnectionattempt"
    for schema in SCHEMAS:
        clinics.query(schema, old)
    kept = clinics.query("south", count)
    prune = ["tenant_command", "medblocks_prune", "--schema=north"]
    clinics.project.manage(*prune, "--older-than=6y", "--connected-too")
    assert clinics.query("north", count) == [0]
    assert clinics.query("south", count) == kept != [0]


def test_command_for_each_clinic_goes_past_one_that_fails(clinics, both):
    sessions = [
        leave_at_the_portal(clinics, visitor, schema)
        for visitor, schema in zip(both, SCHEMAS, strict=True)
    ]
    keep = "UPDATE public.clinics_clinic SET medblocks_api_key = %s WHERE schema_name = 'north'"
    clinics.query("public", keep, "")
    try:
        done = clinics.project.run("for_each_clinic", "medblocks_reconcile", "--", "--limit=100")
    finally:
        clinics.query("public", keep, KEYS["north"])
    assert done.returncode == 1
    assert "failed for north" in done.stderr
    assert clinics.status("north", sessions[0]) == "started"
    assert clinics.status("south", sessions[1]) == "succeeded"


def test_admin_lists_its_own_clinics_attempts_alone(both, sign_in):
    for visitor in both:
        visitor.connect()
    path = "/admin/medblocks_connect/patientconnectionattempt/"
    norths, souths = (sign_in(schema, "staff").read(path) for schema in SCHEMAS)
    assert NAMES["north"] in norths
    assert NAMES["south"] not in norths
    assert NAMES["south"] in souths
    assert NAMES["north"] not in souths


def test_clinic_under_a_deleted_ones_schema_name_begins_anew(clinics, sign_in, patient):
    """The process still holds what it cached for the former clinic."""
    statuses = []
    for _ in range(2):
        open_clinic(clinics.project, "east", clinics.medblocks.url)
        visitor = sign_in("east", f"patient-{patient}")
        statuses.append([visitor.post("/records/start/").status_code for _ in range(6)])
        for table in (
            "domain WHERE domain = 'east.localhost'",
            "clinic WHERE schema_name = 'east'",
        ):
            clinics.query("public", f"DELETE FROM clinics_{table}")
        clinics.query("public", "DROP SCHEMA east CASCADE")
    assert statuses == [[400] * 5 + [429]] * 2
