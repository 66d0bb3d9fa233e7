"""The speed of the search where one process serves two workspaces, beside one of them alone.

    python benchmarks/workspaces.py                                # two workspaces, one SQLite file
    python benchmarks/workspaces.py postgres://postgres@127.0.0.1/ # two schemas, by django-tenants
    python benchmarks/workspaces.py --quick                        # sooner

Each has 30,000 facilities with names of its own; a third of the ids are in both, and mean other
places. The same searches, each in the same workspace, are asked in two orders: one workspace's
alone, then the other's; and by turns, a change before every search. The two orders take turns in
one process, so that a busy moment of the machine slows both. Asked are the whole page, through
Django's test client, and ``find_facilities`` alone, which hides nothing of what a change costs.

Then: a process that can keep one index only; requests in one workspace while the other's index is
built for the first time; the memory of all the indexes that are kept (on SQLite: it is the
process's, whatever the database). PostgreSQL's is a database ``bench_workspaces``, made and dropped
here. The exit status is 1 where a limit does not hold.
"""

from __future__ import annotations

import argparse
import gc
import html
import random
import re
import sys
import tempfile
import time
import tracemalloc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain, count, cycle
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.names import read_names, stretch_names
from benchmarks.typos import kinds_of_queries

NORTH, SOUTH = "north", "south"
FACILITIES = 30_000
SHARED_IDS = FACILITIES // 3
MEDIAN_RATIO, SLOW_RATIO = 1.10, 1.25  # by turns / alone
LONGEST_WAIT = 1 / 3  # of the time that the other workspace's index takes to build
KEPT, MOST_MEMORY, SPARE = 8, 10, 1.05  # indexes, MiB each, times
LEAST_ANSWERED = 0.9  # of the searches: most are of names that are there
TURN, TIMES = 50, 4  # searches in each workspace; how often each is asked in each order
DATABASE = "bench_workspaces"
APPS = ["django.contrib.auth", "django.contrib.contenttypes", "medblocks_connect"]

_chosen: ContextVar[str] = ContextVar("workspace", default=NORTH)


# --- the site ---------------------------------------------------------------------------------


def choose_by_host(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Choose the workspace of each request, as a site does that keeps all in one schema."""

    def middleware(request: Any) -> Any:
        _chosen.set(request.get_host().partition(".")[0])
        return get_response(request)

    return middleware


def get_chosen_workspace() -> str:
    return _chosen.get()


def get_schema() -> str:
    from django.db import connection

    return connection.schema_name


def get_chosen_key() -> str:
    return f"mb_sk_sbx_{get_chosen_workspace()}"


def get_key_of_schema() -> str:
    return f"mb_sk_sbx_{get_schema()}"


def find_patient(_request: Any) -> Any:
    from medblocks_connect.patients import Patient

    return Patient("patient-1")


def configure(database: dict[str, Any], **more: Any) -> None:
    import django
    from django.conf import settings

    by_schema = "TENANT_MODEL" in more
    here = "benchmarks.workspaces"
    settings.configure(
        **{
            "INSTALLED_APPS": APPS,
            "SECRET_KEY": "only for the benchmark",
            "ALLOWED_HOSTS": ["*"],
            "ROOT_URLCONF": "benchmarks.workspaces_urls",
            "STATIC_URL": "static/",
            "USE_TZ": True,
            "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
            "DATABASES": {"default": database},
            "MIDDLEWARE": [
                "django_tenants.middleware.main.TenantMainMiddleware"
                if by_schema
                else f"{here}.choose_by_host",
                "django.middleware.security.SecurityMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
            ],
            "TEMPLATES": [
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": ["django.template.context_processors.request"]
                    },
                }
            ],
            "LOGGING_CONFIG": None,
            "MEDBLOCKS_CONNECT": {
                "API_KEY": f"{here}.{'get_key_of_schema' if by_schema else 'get_chosen_key'}",
                "WORKSPACE": f"{here}.{'get_schema' if by_schema else 'get_chosen_workspace'}",
                "PATIENT_RESOLVER": f"{here}.find_patient",
                "THROTTLES": {"search": "999999/m"},  # counted, and never reached
            },
            **more,
        }
    )
    django.setup()


@dataclass
class World:
    """A workspace, with what is in it and nowhere else: a name for each id."""

    label: str
    names: Mapping[str, str]
    shown: Mapping[str, str] = field(init=False)  # as the page shows them

    def __post_init__(self) -> None:
        self.shown = {key: show(name) for key, name in self.names.items()}

    @property
    def host(self) -> str:
        return f"{self.label}.clinic.example"

    def enter(self) -> None:
        """Choose this workspace for what this thread does next."""
        from django.db import connection

        if hasattr(connection, "set_schema"):
            connection.set_schema(self.label)
        else:
            _chosen.set(self.label)

    def fill(self) -> None:
        from django.utils import timezone

        from medblocks_connect.models import CatalogSync, Facility

        self.enter()
        Facility.objects.bulk_create(
            (
                Facility(
                    connection_id=key,
                    name=name,
                    type=kind,
                    fhir_base_url=f"https://{number % 97}.fhir.example/{key}",
                    portal_url=f"https://{number % 97}.portal.example/",
                )
                for number, ((key, name), kind) in enumerate(
                    zip(self.names.items(), cycle(["epic", "cerner", "athena", ""]), strict=False)
                )
            ),
            batch_size=2000,
        )
        CatalogSync.objects.create(
            base_url="https://app.medblocks.com",
            fetched=len(self.names),
            finished_at=timezone.now(),
        )


def show(name: str) -> str:
    from medblocks_connect.facilities.matching.states import split_state

    return split_state(name)[1]


def make_worlds() -> tuple[World, World, str]:
    """Return two worlds without a name in common, and where the names come from."""
    rows, source = read_names()
    distinct = {
        show(name).casefold(): name for name, _kind in stretch_names(rows, FACILITIES * 4, seed=3)
    }
    names = list(distinct.values())
    random.Random(1).shuffle(names)
    labels = (NORTH, SOUTH)
    assert len(names) >= FACILITIES * len(labels), "too few names"
    worlds = []
    for place, label in enumerate(labels):
        ours = names[place * FACILITIES : (place + 1) * FACILITIES]
        keys = (f"fhirsrc_{'' if n < SHARED_IDS else f'{label}_'}{n:05}" for n in count())
        worlds.append(World(label, dict(zip(keys, ours, strict=False))))
    return worlds[0], worlds[1], source


@contextmanager
def sqlite() -> Iterator[str]:
    from django.core.management import call_command

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "bench.sqlite3")
        configure({"ENGINE": "django.db.backends.sqlite3", "NAME": file})
        call_command("migrate", verbosity=0)
        yield "two workspaces in one SQLite file"


@contextmanager
def postgres(url: str) -> Iterator[str]:
    """Make a database with a schema for each world, by django-tenants; drop it at the end."""
    import psycopg

    parts = urlsplit(url)
    where = {"host": parts.hostname, "port": parts.port or 5432, "user": parts.username or ""}
    server = psycopg.connect(
        **where, password=parts.password or "", dbname="postgres", autocommit=True
    )
    server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    server.execute(f"CREATE DATABASE {DATABASE}")
    shared = ["django_tenants", "benchmarks.workspaces_tenants"]
    configure(
        {
            "ENGINE": "django_tenants.postgresql_backend",
            "NAME": DATABASE,
            "PASSWORD": parts.password or "",
            **{key.upper(): value for key, value in where.items()},
        },
        INSTALLED_APPS=[*shared, *APPS],
        SHARED_APPS=shared,
        TENANT_APPS=APPS,
        TENANT_MODEL="workspaces_tenants.Clinic",
        TENANT_DOMAIN_MODEL="workspaces_tenants.Domain",
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    )
    from django.db import connections

    try:
        make_schemas()
        yield "two PostgreSQL schemas, by django-tenants"
    finally:
        connections.close_all()
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        server.close()


def make_schemas() -> None:
    from django.core.management import call_command

    from benchmarks.workspaces_tenants.models import Clinic, Domain

    call_command("migrate_schemas", shared=True, run_syncdb=True, verbosity=0)
    for label in (NORTH, SOUTH):
        clinic = Clinic(schema_name=label)
        clinic.save(verbosity=0)
        Domain.objects.create(tenant=clinic, domain=f"{label}.clinic.example", is_primary=True)


# --- the searches -----------------------------------------------------------------------------


def make_queries(world: World, number: int) -> list[str]:
    """Return what a typist types who looks for ``number`` of the world's names."""
    names = list(world.names.values())
    kinds = cycle(kinds_of_queries(names, seed=1).values())
    wanted = random.Random(world.label).sample(names, number * 2)
    typed = (make(name)[:64] for make, name in zip(kinds, wanted, strict=False))
    return [text for text in typed if len(text) > 1][:number]


class Search:
    """One way to ask; every answer is looked at, and must be of the world that was asked."""

    name = ""

    def __init__(self) -> None:
        self.asked = self.answered = self.places = 0  # all places of the right world

    def ask(self, world: World, text: str) -> float:
        """Return the milliseconds that the answer took."""
        began = time.perf_counter()
        answer = self.search(world, text)
        taken = (time.perf_counter() - began) * 1000
        places = self.read(answer)
        for key, name in places:
            expected = self.names_of(world).get(key)
            assert name == expected, f"{world.label}: {key} is {name!r}, not {expected!r}"
        self.asked += 1
        self.answered += bool(places)
        self.places += len(places)
        return taken

    def search(self, world: World, text: str) -> Any:
        raise NotImplementedError

    def read(self, answer: Any) -> list[tuple[str, str]]:
        """Return the id and the name of each place in the answer."""
        raise NotImplementedError

    def names_of(self, world: World) -> Mapping[str, str]:
        raise NotImplementedError


class PageSearch(Search):
    """The whole page, as the plain form asks for it."""

    name = "the whole page"
    PLACE = re.compile(r'name="connection_id" value="([^"]*)".*?<bdi>(.*?)</bdi>', re.DOTALL)

    def __init__(self) -> None:
        from django.test import Client

        super().__init__()
        self.client = Client()

    def search(self, world: World, text: str) -> Any:
        return self.client.get("/records/search/", {"q": text}, headers={"host": world.host})

    def read(self, answer: Any) -> list[tuple[str, str]]:
        assert answer.status_code == 200, answer.status_code
        return [
            (html.unescape(key), html.unescape(re.sub(r"</?mark>", "", name)).strip())
            for key, name in self.PLACE.findall(answer.text)
        ]

    def names_of(self, world: World) -> Mapping[str, str]:
        return world.shown


class PlainSearch(Search):
    """The search without its page, from the choice of the workspace on."""

    name = "find_facilities"

    def search(self, world: World, text: str) -> Any:
        from medblocks_connect.facilities.search import FacilitySearch, find_facilities

        world.enter()
        return find_facilities(FacilitySearch.of(text))

    def read(self, answer: Any) -> list[tuple[str, str]]:
        return [(facility.id, facility.name) for facility in answer.listed]

    def names_of(self, world: World) -> Mapping[str, str]:
        return world.names


# --- the measurements -------------------------------------------------------------------------


class Report:
    """The lines of the result, and whether every limit held."""

    def __init__(self) -> None:
        self.holds = True

    def line(self, name: str, figures: str, limit: str = "", *, holds: bool = True) -> None:
        self.holds &= holds
        verdict = f"{limit:>16}  {'ok' if holds else 'NOT HELD'}" if limit else ""
        print(f"{name:<42}{figures:>40}{verdict}", flush=True)


def slow(milliseconds: list[float]) -> float:
    """Return the 95th percentile."""
    return sorted(milliseconds)[int(len(milliseconds) * 0.95)]


def ask_in_both_orders(
    search: Search, north: list[tuple[World, str]], south: list[tuple[World, str]]
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of every search, alone and by turns: the least of several times.

    The least, since what another process of the machine takes is no matter of the order. Which
    order comes first changes each time: what is asked again may be known already.
    """
    alone: list[float] = []
    by_turns: list[float] = []
    for begin in range(0, len(north), TURN):
        norths, souths = north[begin : begin + TURN], south[begin : begin + TURN]
        orders = [*norths, *souths], [*chain(*zip(norths, souths, strict=True))]
        times: list[list[list[float]]] = [[], []]
        for repetition in range(TIMES):
            for place in (0, 1) if repetition % 2 else (1, 0):
                times[place].append([search.ask(*each) for each in orders[place]])
        for taken, repeated in zip((alone, by_turns), times, strict=True):
            taken.extend(min(each) for each in zip(*repeated, strict=True))
    return alone, by_turns


def compare(report: Report, search: Search, worlds: tuple[World, World], number: int) -> float:
    """Report what turns cost; return the median of a search alone, in milliseconds."""
    north, south = ([(world, text) for text in make_queries(world, number)] for world in worlds)
    for each in (*north[:20], *south[:20]):  # builds what is missing
        search.ask(*each)
    with count_builds() as built:
        alone, by_turns = ask_in_both_orders(search, north, south)
    middle, late = median(by_turns) / median(alone), slow(by_turns) / slow(alone)
    report.line(
        f"{search.name}: median",
        f"alone {median(alone):.2f}, by turns {median(by_turns):.2f} ms: {middle:.3f}",
        f"at most {MEDIAN_RATIO:.2f}",
        holds=middle <= MEDIAN_RATIO,
    )
    report.line(
        f"{search.name}: 95th percentile",
        f"alone {slow(alone):.2f}, by turns {slow(by_turns):.2f} ms: {late:.3f}",
        f"at most {SLOW_RATIO:.2f}",
        holds=late <= SLOW_RATIO,
    )
    answered = search.answered / search.asked
    report.line(
        f"{search.name}: places found",
        f"{search.places:,}, all of the right workspace",
        f"in {LEAST_ANSWERED:.0%} at least",
        holds=answered >= LEAST_ANSWERED,
    )
    report.line(f"{search.name}: indexes built meanwhile", f"{len(built)}", "none", holds=not built)
    return median(alone)


def compare_one_slot(
    report: Report, worlds: tuple[World, World], number: int, usual: float
) -> None:
    """Report what turns would cost where each change threw the other workspace's index away.

    ``usual`` is a search alone; of the few by turns the least is told, as there.
    """
    from medblocks_connect.facilities import catalog

    search = PlainSearch()
    norths, souths = ([(world, text) for text in make_queries(world, number)] for world in worlds)
    with patch.object(catalog, "_INDEXES_MAX", 1), count_builds() as built:
        search.ask(*norths[0])  # which drops the south's
        taken = [search.ask(*each) for each in chain(*zip(souths, norths, strict=True))]
    report.line(
        "for comparison, were one index kept",
        f"by turns {min(taken):.0f} ms, {min(taken) / usual:.0f} times alone",
    )
    assert len(built) >= len(taken), "an index was kept"


@contextmanager
def count_builds() -> Iterator[list[int]]:
    """Note the size of each index that is built."""
    from medblocks_connect.facilities import catalog

    sizes: list[int] = []
    build = catalog.FacilityIndex

    def build_noted(entries: Any) -> Any:
        index = build(entries)
        sizes.append(len(index))
        return index

    with patch.object(catalog, "FacilityIndex", build_noted):
        yield sizes


@contextmanager
def new_process() -> Iterator[OrderedDict[Any, Any]]:
    """Keep the indexes of what follows apart, as if the process had just begun."""
    from medblocks_connect.facilities import catalog

    kept: OrderedDict[Any, Any] = OrderedDict()
    with patch.object(catalog, "_indexes", kept):
        yield kept
    gc.collect()


class Work(Thread):
    """What another thread does meanwhile, and when it began and ended."""

    began = ended = 0.0

    def run(self) -> None:
        self.began = time.perf_counter()
        self.work()
        self.ended = time.perf_counter()

    def work(self) -> None:
        raise NotImplementedError

    @property
    def milliseconds(self) -> float:
        return (self.ended - self.began) * 1000


class Build(Work):
    """Builds a world's index for the first time, as the first search there does."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.size = 0

    def work(self) -> None:
        from django.db import connection

        from medblocks_connect.facilities.catalog import get_index

        self.world.enter()
        self.size = len(get_index() or ())
        connection.close()


class Calculation(Work):
    """Does nothing but keep Python busy."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def work(self) -> None:
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            sum(range(100))


def ask_during(work: Work, ask: Callable[[], float]) -> list[float]:
    """Return the milliseconds of what was asked while ``work`` was done."""
    taken: list[float] = []
    work.start()
    while work.is_alive():
        began = time.perf_counter()
        milliseconds = ask()
        if not work.ended or began < work.ended:
            taken.append(milliseconds)
    work.join()
    return taken


def compare_build(report: Report, worlds: tuple[World, World], rounds: int) -> None:
    """Report how long requests in one workspace wait while the other's index is built."""
    north, south = worlds
    search = PageSearch()
    texts = cycle(make_queries(north, 200))
    alone, builds, waits, busy = [], [], [], []  # milliseconds; of waits the longest of a round
    asked = 0
    for _round in range(rounds):
        with new_process():
            build = Build(south)
            build.start()
            build.join()
            assert build.size == len(south.names), "another index, or none"
            alone.append(build.milliseconds)
        with new_process():
            for _ in range(20):
                search.ask(north, next(texts))
            build = Build(south)
            taken = ask_during(build, lambda: search.ask(north, next(texts)))
            assert build.size == len(south.names), "another index, or none"
            builds.append(build.milliseconds)
            waits.append(max(taken))
            asked += len(taken)
            calculation = Calculation(build.milliseconds / 1000)
            busy.append(max(ask_during(calculation, lambda: search.ask(north, next(texts)))))
    # Of all rounds the median: another process of the machine can hold up any one of them, and a
    # lock would hold up all.
    shares = [wait / build for wait, build in zip(waits, builds, strict=True)]
    report.line(
        "an index built, and while pages are asked",
        f"{median(alone):.0f} and {median(builds):.0f} ms",
    )
    report.line(
        f"the other's pages meanwhile, {rounds} builds", f"{asked}, all of the right workspace"
    )
    report.line(
        "the longest of them, of the build's time",
        f"{median(waits):.0f} ms: {median(shares):.2f}, once {max(shares):.2f}",
        f"less than {LONGEST_WAIT:.2f}",
        holds=median(shares) < LONGEST_WAIT,
    )
    report.line(
        "  while a thread calculates as long",
        f"{median(busy):.0f} ms",
    )


def measure_memory(report: Report, north: World) -> None:
    """Report what the indexes of nine workspaces take, of which eight are kept."""
    from medblocks_connect.facilities.catalog import get_index

    copies = [World(f"copy-{number}", north.names) for number in range(KEPT + 1)]
    for world in copies:
        world.fill()
    indexes: list[weakref.ref[Any]] = []
    sizes: list[float] = []

    def use(world: World) -> None:
        world.enter()
        indexes.append(weakref.ref(get_index()))
        gc.collect()
        sizes.append((tracemalloc.get_traced_memory()[0] - before) / 2**20)

    with new_process() as kept:
        tracemalloc.start()
        gc.collect()
        before, _peak = tracemalloc.get_traced_memory()
        for world in copies[:KEPT]:
            use(world)
        one, eight = sizes[0], sizes[-1]
        use(copies[0])  # so that the second is the idlest
        use(copies[KEPT])
        nine = sizes[-1]
        tracemalloc.stop()
        idlest_is_gone = indexes[1]() is None
        others_are_kept = all(indexes[place]() for place in (0, *range(2, KEPT + 2)))
        is_same = indexes[0]() is indexes[KEPT]()
        number = len(kept)
    report.line(
        f"an index of {FACILITIES:,} facilities",
        f"{one:.1f} MiB",
        f"at most {MOST_MEMORY}",
        holds=one <= MOST_MEMORY,
    )
    most = one * KEPT * SPARE
    report.line(
        f"{KEPT} of them",
        f"{eight:.1f} MiB",
        f"at most {most:.1f}",
        holds=eight <= most,
    )
    report.line(
        f"after a ninth, {number} kept, the idlest gone",
        f"{nine:.1f} MiB",
        f"at most {most:.1f}",
        holds=nine <= most and number == KEPT and idlest_is_gone and others_are_kept and is_same,
    )


def measure(options: argparse.Namespace, kind: str) -> bool:
    north, south, source = make_worlds()
    worlds = north, south
    number, rounds, changes = (100, 3, 2) if options.quick else (options.searches, 9, 5)
    print(f"{kind}, {FACILITIES:,} {source} each, {2 * number:,} searches\n", flush=True)
    for world in worlds:
        world.fill()
    analyse()
    report = Report()
    usual = {
        search.name: compare(report, search, worlds, number)
        for search in (PageSearch(), PlainSearch())
    }
    compare_one_slot(report, worlds, changes, usual[PlainSearch.name])
    compare_build(report, worlds, rounds)
    if not options.url:
        measure_memory(report, north)
    return report.holds


def analyse() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", nargs="?", default="", help="postgres://…; none: SQLite")
    parser.add_argument("--searches", type=int, default=500, help="in each workspace")
    parser.add_argument("--quick", action="store_true", help="a short run")
    options = parser.parse_args()
    with postgres(options.url) if options.url else sqlite() as kind:
        return 0 if measure(options, kind) else 1


if __name__ == "__main__":
    # The settings name this module's functions by its name in the package.
    sys.modules["benchmarks.workspaces"] = sys.modules["__main__"]
    sys.exit(main())
