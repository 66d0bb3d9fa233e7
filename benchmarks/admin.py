"""The speed of the admin at 1,000 and at 1,000,000 attempts, beside a plain ``ModelAdmin``.

Then the searches once more where the planner was told of the tables (``ANALYZE``), also of one with
50 facilities and no request ids, which makes columns that find nobody look as if they found all.

    python benchmarks/admin.py                             # SQLite, files in the temporary folder
    python benchmarks/admin.py postgres://127.0.0.1:5432/  # PostgreSQL; creates bench_admin_*

Databases that are there already are used again; ``--rebuild`` makes them anew, ``--rows`` names
the larger size. Every page is asked through Django's test client, the small table, the large one
and the plain admin in turn, so that a busy moment of the machine slows all of them; the figure is
the median. The limits are those of the issue; the exit status is 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SMALL = 1000
EVENTS_EACH = 3
YEARS = 3

ATTEMPTS = "medblocks_connect/patientconnectionattempt/"
PATIENTS = "medblocks_connect/patienthistory/"
QUEUE = "medblocks_connect/lostconnection/"


class CurrentDatabase:
    """Route everything to the database that is measured."""

    alias = "small"

    def db_for_read(self, _model, **_hints):
        return self.alias

    db_for_write = db_for_read

    def allow_relation(self, _one, _other, **_hints):
        return True


ROUTER = CurrentDatabase()


def configure(url: str, rows: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    from django.conf import settings

    databases = {name: database(url, f"bench_admin_{size}") for name, size in sizes(rows).items()}
    databases["uniform"] = database(url, f"bench_admin_uniform_{rows}")
    settings.DATABASES = {"default": databases["large"], **databases}
    settings.DATABASE_ROUTERS = [ROUTER]
    settings.ROOT_URLCONF = "benchmarks.admin_urls"
    settings.ALLOWED_HOSTS = ["*"]
    settings.DEBUG = False
    import django

    django.setup()


def sizes(rows: int) -> dict[str, int]:
    return {"small": SMALL, "large": rows}


def database(url: str, name: str) -> dict[str, object]:
    if not url:
        path = Path(tempfile.gettempdir()) / f"{name}.sqlite3"
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": parts.hostname,
        "PORT": parts.port or 5432,
        "USER": parts.username or "postgres",
        "PASSWORD": parts.password or "",
    }


# --- the tables -------------------------------------------------------------------------------

SERIES = {
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) "
    "SELECT n, (n * 2654435761) % 1000 AS r FROM s) AS series",
    "postgresql": "(SELECT n, (n * 2654435761) % 1000 AS r FROM "
    "generate_series(1::bigint, {rows}::bigint) AS n) AS series",
}
MOMENT = {
    # With six decimals, as Django writes it: SQLite compares times as text.
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', "
    "julianday('now') - ({span} / {rows}) * ({rows} - n){plus}) || '000'",
    "postgresql": "now() - make_interval(secs => ({span} * 86400 / {rows}) * ({rows} - n)){plus}",
}
LATER = {
    "sqlite": " + {minutes} / 1440.0",
    "postgresql": " + make_interval(secs => {minutes} * 60)",
}


def moment(vendor: str, rows: int, minutes: str = "") -> str:
    plus = LATER[vendor].format(minutes=minutes) if minutes else ""
    return MOMENT[vendor].format(span=f"{YEARS * 365}.0", rows=rows, plus=plus)


def fill(alias: str, rows: int) -> None:
    """Fill the tables as years of a large clinic do: 300,000 patients at 200 facilities.

    The uniform one has 50 facilities, no request ids and no timelines.
    """
    from django.db import connections

    connection = connections[alias]
    vendor = connection.vendor
    # Some facilities are large; a patient comes again after any time.
    is_uniform = alias == "uniform"
    facility = "(n % 50)" if is_uniform else "((n % 200) * ((n / 7) % 200) / 200)"
    patient = "((n % 100003) * (n % 100003) * 7 + n * 48271)"
    status = (
        "CASE WHEN r < 620 THEN 'succeeded' WHEN r < 850 THEN 'failed' "
        "WHEN r < 985 THEN 'expired' WHEN r < 992 THEN 'returned' ELSE 'started' END"
    )
    error = (
        "CASE WHEN r < 620 OR r >= 850 THEN '' WHEN r < 720 THEN 'user_denied' "
        "WHEN r < 770 THEN 'oauth_error' WHEN r < 800 THEN 'token_exchange_failed' "
        "WHEN r < 830 THEN 'access_denied' ELSE 'oauth_callback_failed' END"
    )
    made = moment(vendor, rows)
    returned = f"CASE WHEN r < 860 THEN {moment(vendor, rows, '(1 + r % 14)')} END"
    true, false = ("1", "0") if vendor == "sqlite" else ("true", "false")
    values = {
        "public_id": "'public-' || n",
        "workspace": "'sandbox'",
        "patient_id": f"'patient-' || ({patient} % {max(rows * 3 // 10, 1)})",
        "actor": "''",
        "connection_id": f"'fhirsrc_' || {facility}",
        "is_hosted": false,
        "place_id": f"'fhirsrc_' || {facility}",
        "connection_name": f"'Hospital number ' || {facility}",
        "connection_type": f"CASE {facility} % 4 WHEN 0 THEN 'epic' WHEN 1 THEN 'cerner' "
        "WHEN 2 THEN 'athena' ELSE 'meditech' END",
        "patient_session_id": "'ps_' || n",
        "status": status,
        "unconfirmed": f"CASE WHEN n % 1000 = 1 THEN {true} ELSE {false} END",
        "error": error,
        "error_description": "CASE WHEN r >= 620 AND r < 850 THEN "
        "'The authorization server refused the request of this patient, see its log' ELSE '' END",
        "request_id": "''" if is_uniform else "'req_' || n",
        "claimed_success": f"CASE WHEN r < 620 THEN {true} ELSE {false} END",
        "claimed_error": "''",
        "claimed_error_description": "''",
        "claim_disagrees": f"CASE WHEN n % 5000 = 2 THEN {true} ELSE {false} END",
        "patient_connection_id": "CASE WHEN r < 620 THEN 'conn_' || n ELSE '' END",
        "connection_status": "CASE WHEN r < 30 THEN 'refresh_failed' WHEN r < 620 THEN 'active' "
        "ELSE '' END",
        "created_at": made,
        "returned_at": returned,
        "finished_at": returned,
        "lost_at": f"CASE WHEN r < 30 THEN {moment(vendor, rows, '60 * 24 * 30')} END",
        "settled_at": returned,
        "revision": "3",
    }
    event = {
        "attempt_id": "n",
        "source": "CASE e WHEN 1 THEN 'site' WHEN 2 THEN 'return' ELSE 'medblocks' END",
        "kind": "CASE e WHEN 1 THEN 'created' WHEN 2 THEN 'came_back' ELSE 'connected' END",
        "actor": "''",
        "status": "CASE e WHEN 1 THEN 'created' WHEN 2 THEN 'returned' ELSE 'succeeded' END",
        "error": "''",
        "error_description": "''",
        "request_id": "'req_' || n",
        "connection_status": "''",
        "detail": "''",
        "created_at": made,
        "fingerprint": "'f' || e",
    }
    series = SERIES[vendor].format(rows=rows)
    kinds = " UNION ALL ".join(f"SELECT {each} AS e" for each in range(1, EVENTS_EACH + 1))
    with connection.cursor() as cursor:
        if vendor == "sqlite":
            cursor.execute("PRAGMA synchronous = OFF")
            cursor.execute("PRAGMA cache_size = -800000")
        insert(cursor, "medblocks_connect_patientconnectionattempt", values, series)
        if not is_uniform:
            kinds = f"{series} CROSS JOIN ({kinds}) AS kinds"
            insert(cursor, "medblocks_connect_attemptevent", event, kinds)
        cursor.execute(CONNECTIONS_SQL.format(false=false))
        cursor.execute("ANALYZE" if vendor == "postgresql" else "PRAGMA optimize")
        if vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE medblocks_connect_patientconnectionattempt")
            cursor.execute("VACUUM ANALYZE medblocks_connect_patientconnection")


# A patient at a place, as the last success there left it; records failed at some.
CONNECTIONS_SQL = """
INSERT INTO medblocks_connect_patientconnection (
    workspace, patient_id, place_id, connection_id, connection_name, connection_type, state, status,
    was_ended_here, ended_by, since, lost_at, records_failed_at, changed_at, attempt_id
)
SELECT a.workspace, a.patient_id, a.place_id, a.connection_id, a.connection_name,
    a.connection_type, CASE WHEN a.lost_at IS NULL THEN 'connected' ELSE 'lost' END,
    a.connection_status, {false}, '', a.finished_at, a.lost_at,
    CASE WHEN a.id % 1000 = 3 THEN a.finished_at END, a.created_at, a.id
FROM medblocks_connect_patientconnectionattempt a
WHERE a.id IN (
    SELECT MAX(id) FROM medblocks_connect_patientconnectionattempt
    WHERE status = 'succeeded' GROUP BY patient_id, place_id
)
"""


def insert(cursor, table: str, values: dict[str, str], source: str) -> None:
    columns, expressions = ", ".join(values), ", ".join(values.values())
    cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {expressions} FROM {source} ORDER BY n")


def build(url: str, rows: int, *, rebuild: bool) -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connections

    for alias, size in {**sizes(rows), "uniform": rows}.items():
        ROUTER.alias = alias
        connection = connections[alias]
        create(url, str(connection.settings_dict["NAME"]), rebuild=rebuild)
        users = get_user_model().objects
        there = "auth_user" in connection.introspection.table_names()
        if there and users.filter(username="root").exists():
            continue
        began = time.perf_counter()
        call_command("migrate", database=alias, verbosity=0)
        fill(alias, size)
        users.create_superuser("root", password="root")
        print(f"built {size:,} attempts in {time.perf_counter() - began:.0f} s", flush=True)


def create(url: str, name: str, *, rebuild: bool) -> None:
    if not url:
        if rebuild:
            Path(name).unlink(missing_ok=True)
        return
    import psycopg

    where = database(url, "postgres")
    with closing(
        psycopg.connect(
            host=where["HOST"],
            port=where["PORT"],
            user=where["USER"],
            password=where["PASSWORD"],
            dbname="postgres",
            autocommit=True,
        )
    ) as connection:
        if rebuild:
            connection.execute(f"DROP DATABASE IF EXISTS {name}")
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if not there.fetchone():
            connection.execute(f"CREATE DATABASE {name}")


# --- the measurements -------------------------------------------------------------------------


class Site:
    """The admin over one of the tables, with the browser that is signed in there."""

    def __init__(self, alias: str, prefix: str = "admin") -> None:
        from django.contrib.auth import get_user_model
        from django.test import Client

        self.alias, self.prefix = alias, prefix
        self.use()
        self.client = Client()
        self.client.force_login(get_user_model().objects.get(username="root"))

    def use(self) -> None:
        ROUTER.alias = self.alias

    def find(self) -> dict[str, object]:
        """Return an attempt in the middle of the table, and its patient."""
        from medblocks_connect.models import PatientConnectionAttempt

        self.use()
        attempts = PatientConnectionAttempt.objects
        key = attempts.latest("pk").pk // 2
        return {"key": key, "patient": attempts.get(pk=key).patient_id}

    def get(self, path: str) -> float:
        """Return the milliseconds that the page took."""
        self.use()
        began = time.perf_counter()
        response = self.client.get(f"/{self.prefix}/{path}")
        taken = (time.perf_counter() - began) * 1000
        assert response.status_code == 200, (path, response.status_code)
        return taken

    def count_queries(self, path: str) -> int:
        from django.db import connections
        from django.test.utils import CaptureQueriesContext

        self.use()
        with CaptureQueriesContext(connections[self.alias]) as captured:
            self.get(path)
        return len(captured)


class Report:
    """The lines of the result, and whether every limit held."""

    def __init__(self) -> None:
        self.holds = True

    def line(self, name: str, figures: str, limit: str = "", *, holds: bool = True) -> None:
        self.holds &= holds
        verdict = f"{limit:>22}  {'ok' if holds else 'NOT HELD'}" if limit else ""
        print(f"{name:<44}{figures:>34}{verdict}", flush=True)


def interleave(times: int, *pages: tuple[Site, str]) -> list[float]:
    """Ask all pages in turn, ``times`` over, after a first time that warms up; their medians."""
    taken: list[list[float]] = [[] for _ in pages]
    for repetition in range(times + 1):
        for index, (site, path) in enumerate(pages):
            milliseconds = site.get(path)
            if repetition or times == 1:
                taken[index].append(milliseconds)
    return [median(durations) for durations in taken]


def measure(vendor: str, rows: int, times: int) -> bool:
    report = Report()
    small, large = Site("small"), Site("large")
    plain, equals = Site("large", "plain"), Site("large", "equals")
    print(f"\n{vendor}, {rows:,} attempts with {rows * EVENTS_EACH:,} events, milliseconds\n")
    least = 8 if vendor == "postgresql" else 40
    measure_list(report, small, large, plain, least, times)
    measure_filters(report, small, large, times)
    places = small.find(), large.find()
    term = f"{ATTEMPTS}?q={places[1]['patient']}"
    ours, theirs = interleave(max(times // 2, 1), (large, term), (equals, term))
    faster = theirs / ours
    report.line(
        "exact search, ours beside =field",
        f"{ours:.0f} beside {theirs:.0f}: {faster:.0f} x",
        "at least 20 x",
        holds=faster >= 20,
    )
    for name, path, most in (
        ("a patient's page", f"{PATIENTS}{{key}}/change/", 10),
        ("an attempt's page", f"{ATTEMPTS}{{key}}/change/", 10),
        ("the patients", PATIENTS, 10),
        ("the patients, longest ago first", f"{PATIENTS}?o=4", 10),
        ("the reconnect queue", QUEUE, 10),
        ("the overview, 90 days", f"{ATTEMPTS}overview/?days=90", 10),
    ):
        at_small, at_large = (path.format(**place) for place in places)
        before, after = interleave(times, (small, at_small), (large, at_large))
        queries = large.count_queries(at_large)
        figures = f"{before:.0f} and {after:.0f}, {queries} queries"
        report.line(name, figures, f"at most {most} queries", holds=queries <= most)
    return report.holds


def analyze(alias: str) -> None:
    """Let the planner know the tables, as a site's own maintenance does."""
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute("ANALYZE")


def forget_statistics(alias: str) -> None:
    """Undo the ``ANALYZE`` of a former run, and what SQLite found out by itself: no site has to."""
    from django.db import connections

    with connections[alias].cursor() as cursor:
        if "sqlite_stat1" in connections[alias].introspection.table_names(cursor):
            cursor.execute("DROP TABLE sqlite_stat1")
    connections.close_all()  # what a connection read of it, it keeps


MOST_LISTS = 5  # a search reads the facilities' names and the keys beside its list


def measure_searches(vendor: str, rows: int, times: int) -> bool:
    report = Report()
    ordinary, uniform = "200 facilities", "50 facilities and no request ids"
    for alias, words, is_told in (
        ("uniform", uniform, False),
        ("uniform", f"{uniform}, after ANALYZE", True),
        ("large", f"{ordinary}, after ANALYZE", True),
    ):
        site = Site(alias)
        if is_told:
            analyze(alias)
        print(f"\n{vendor}, {rows:,} attempts at {words}\n")
        place = site.find()
        for name, query in (
            ("a patient's id", f"q={place['patient']}"),
            ("a session's id", f"q=ps_{place['key']}"),
            ("a request's id", f"q=req_{place['key']}"),
            ("a facility's id", "q=fhirsrc_17"),
            ("nobody's id", "q=nobody"),
            ("a facility's name", "q=number+17"),
            ("every facility's name", "q=hospital"),
            ("a patient's id, failed alone", f"q={place['patient']}&status__exact=failed"),
        ):
            path = f"{ATTEMPTS}?{query}"
            found, whole = interleave(times, (site, path), (site, ATTEMPTS))
            figures = f"{found:.0f} beside {whole:.0f}: {found / whole:.1f}"
            holds = found <= MOST_LISTS * whole
            report.line(f"  {name}, beside the list", figures, f"at most {MOST_LISTS}", holds=holds)
        if alias == "uniform":
            equals = Site(alias, "equals")
            term = f"{ATTEMPTS}?q={place['patient']}"
            ours, theirs = interleave(1, (site, term), (equals, term))
            report.line("  a patient's id, ours beside =field", f"{ours:.0f} beside {theirs:.0f}")
    return report.holds


def measure_list(
    report: Report, small: Site, large: Site, plain: Site, least: int, times: int
) -> None:
    before, after = interleave(times, (small, ATTEMPTS), (large, ATTEMPTS))
    ratio = after / before
    report.line(
        "the list, 1,000 and all",
        f"{before:.0f} and {after:.0f}: {ratio:.2f}",
        "at most 1.5",
        holds=ratio <= 1.5,
    )
    queries = large.count_queries(ATTEMPTS)
    report.line("the list, queries", str(queries), "at most 8", holds=queries <= 8)
    ours, theirs = interleave(max(times // 3, 1), (large, ATTEMPTS), (plain, ATTEMPTS))
    report.line(
        "the list, ours beside the plain admin",
        f"{ours:.0f} beside {theirs:.0f}: {theirs / ours:.0f} x",
        f"at least {least} x",
        holds=theirs / ours >= least,
    )


def measure_filters(report: Report, small: Site, large: Site, times: int) -> None:
    from django.utils import timezone

    today = f"{timezone.now():%Y-%m-%d}"
    for query in (
        "status__exact=failed",
        "error__exact=oauth_error",
        "concern=records",
        "place_id__exact=fhirsrc_3",
        "connection_type__exact=cerner",
        "concern=unconfirmed",
        "concern=disagrees",
        "concern=away",
        "concern=lost",
        f"since={today}",
        f"since={today}&place_id__exact=fhirsrc_3&status__exact=failed",
        "q=number+17",
    ):
        path = f"{ATTEMPTS}?{query}"
        before, after = interleave(max(times // 2, 1), (small, path), (large, path))
        report.line(f"  {query[:42]}", f"{before:.0f} and {after:.0f}")


def most_memory() -> float:
    """Return the most MiB that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage() tells what the parent process once held
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_export() -> bool:
    """Export everything in this process, which has done nothing else, and say what it grew by."""
    large = Site("large")
    large.get(ATTEMPTS)
    before = most_memory()
    began = time.perf_counter()
    response = large.client.post(f"/admin/{ATTEMPTS}export/")
    lines = sum(part.count(b"\r\n") for part in response.streaming_content)
    taken = time.perf_counter() - began
    grown = most_memory() - before
    report = Report()
    report.line(
        f"export of {lines - 1:,} rows in {taken:.0f} s",
        f"grew by {grown:.1f} MiB",
        "less than 50 MiB",
        holds=grown < 50,
    )
    return report.holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default="", help="postgres://…; none: SQLite")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=9, help="how often each page is asked")
    parser.add_argument("--rebuild", action="store_true")
    parser.add_argument("--export", action="store_true", help="measure the export alone")
    options = parser.parse_args()
    configure(options.url, options.rows)
    if options.export:
        return 0 if measure_export() else 1
    build(options.url, options.rows, rebuild=options.rebuild)
    from django.db import connections

    vendor = connections["large"].vendor
    if vendor == "sqlite":
        for alias in ("small", "large", "uniform"):
            forget_statistics(alias)
    holds = measure(vendor, options.rows, options.times)
    holds &= measure_searches(vendor, options.rows, options.times)
    again = [sys.executable, __file__, "--export", "--rows", str(options.rows)]
    exported = subprocess.run([*again, *([options.url] if options.url else [])], check=False)
    return 0 if holds and exported.returncode == 0 else 1


if __name__ == "__main__":
    # The URLs' module imports this one by its name in the package.
    sys.modules["benchmarks.admin"] = sys.modules["__main__"]
    raise SystemExit(main())
