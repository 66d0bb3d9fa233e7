"""Quality and speed of the search, beside a substring match and PostgreSQL's pg_trgm.

    python benchmarks/search.py                       # all of it
    python benchmarks/search.py --queries 300         # sooner
    python benchmarks/search.py --postgres "host=127.0.0.1 user=postgres"

The names are the real ones where they are beside the repository, else made up. Every peer answers
the same queries in the same process. PostgreSQL is asked as its manual shows (a GiST index, ordered
by ``<->``), in a database ``bench_search`` that is made where it is missing; it is left out where
no server answers. The limits are those of the issue; the exit status is 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.names import read_names, stretch_names
from benchmarks.typing_session import run_sessions
from benchmarks.typos import kinds_of_queries
from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching.matcher import search_index

FIRST = 10
LIMITS = {
    "prefix": 0.98,
    "one typo": 0.98,
    "typo in every word": 0.95,
    "words reordered": 0.97,
    "two rare words": 0.95,
}
LEAST_MRR = 0.90  # of full names with one typo
TIMES_FASTER_MEDIAN, TIMES_FASTER_SLOW = 8, 3
FEWER_CALLS = 0.70  # than one for each keystroke
TURN = 90  # queries
LARGE, MOST_MEMORY, LONGEST_BUILD = 70_000, 25, 3.0  # names, MiB, seconds

Search = Callable[[str], list[str]]


@dataclass
class Score:
    """The ranks and times of one way of searching, for one kind of query."""

    ranks: list[int] = field(default_factory=list)  # from 1; 0 for not among the first
    milliseconds: list[float] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return sum(rank > 0 for rank in self.ranks) / len(self.ranks)

    @property
    def mrr(self) -> float:
        return sum(1 / rank for rank in self.ranks if rank) / len(self.ranks)

    @property
    def slow(self) -> float:
        """The 95th percentile, in milliseconds."""
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.95)]

    def show(self) -> str:
        return (
            f"{self.recall:6.3f} {self.mrr:6.3f} {median(self.milliseconds):8.2f} {self.slow:8.2f}"
        )


def index_search(rows: list[tuple[str, str]]) -> Search:
    index = FacilityIndex(IndexEntry(key, name, kind) for key, (name, kind) in enumerate(rows))
    return lambda text: [rows[match.key][0] for match in search_index(index, text)[:FIRST]]


def substring_search(rows: list[tuple[str, str]]) -> Search:
    """Search as Medblocks documents it: names that hold the text, in the order of the catalog."""
    names = [(name.casefold(), name) for name, _kind in rows]

    def search(text: str) -> list[str]:
        wanted = text.casefold()
        matching = (name for folded, name in names if wanted in folded)
        return [*islice(matching, FIRST)]

    return search


def postgres_search(rows: list[tuple[str, str]], server: str) -> Search:
    import psycopg

    with psycopg.connect(server, autocommit=True) as administration:
        databases = "select 1 from pg_database where datname = 'bench_search'"
        if administration.execute(databases).fetchone() is None:
            administration.execute("create database bench_search")
    connection = psycopg.connect(server, dbname="bench_search", autocommit=True)
    connection.execute("create extension if not exists pg_trgm")
    connection.execute("drop table if exists names")
    connection.execute("create table names (name text not null)")
    with connection.cursor().copy("copy names (name) from stdin") as copy:
        for name, _kind in rows:
            copy.write_row([name])
    connection.execute("create index on names using gist (lower(name) gist_trgm_ops)")
    connection.execute("vacuum analyze names")
    nearest = f"select name from names order by lower(name) <-> lower(%s) limit {FIRST}"
    return lambda text: [name for (name,) in connection.execute(nearest, [text])]


def make_queries(
    rows: list[tuple[str, str]], count: int, seed: int
) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, query, wanted name)."""
    names = [name for name, _kind in rows]
    kinds = kinds_of_queries(names, seed)
    for wanted in random.Random(seed).sample(names, min(count, len(names))):
        for kind, make in kinds.items():
            query = make(wanted)
            if len(query) > 1:
                yield kind, query, wanted


def measure(
    peers: dict[str, Search], queries: Iterator[tuple[str, str, str]]
) -> dict[str, dict[str, Score]]:
    """Let the peers answer in turns, so that a busy moment of the machine slows all of them.

    A turn is many queries: after each single one of another's, a processor's caches are cold.
    """
    scores: dict[str, dict[str, Score]] = {peer: {} for peer in peers}
    while turn := list(islice(queries, TURN)):
        for peer, search in peers.items():
            for kind, query, wanted in turn:
                answer(search, query, wanted, scores[peer].setdefault(kind, Score()))
    return scores


def answer(search: Search, query: str, wanted: str, score: Score) -> None:
    began = time.perf_counter()
    names = search(query)
    score.milliseconds.append((time.perf_counter() - began) * 1000)
    folded = [name.casefold() for name in names]
    is_found = wanted.casefold() in folded
    score.ranks.append(folded.index(wanted.casefold()) + 1 if is_found else 0)


def measure_size(rows: list[tuple[str, str]]) -> tuple[float, float]:
    """Return the index's size in MiB and its processor seconds to build, at 70,000 names."""
    large = stretch_names(rows, LARGE, seed=3)
    entries = [IndexEntry(key, name, kind) for key, (name, kind) in enumerate(large)]
    began = time.process_time()
    FacilityIndex(entries)
    seconds = time.process_time() - began
    gc.collect()
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    index = FacilityIndex(entries)
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / 2**20
    tracemalloc.stop()
    del index
    return size, seconds


class Verdicts:
    """The limits, each with whether it holds."""

    def __init__(self) -> None:
        self.all_hold = True

    def say(self, text: str, *, holds: bool) -> None:
        self.all_hold = self.all_hold and holds
        print(f"{'ok ' if holds else 'NOT'}  {text}")


def judge(scores: dict[str, dict[str, Score]], verdicts: Verdicts) -> None:
    ours = scores["index"]
    for kind, least in LIMITS.items():
        recall = ours[kind].recall
        verdicts.say(f"{kind}: recall {recall:.3f}, at least {least}", holds=recall >= least)
    mrr = ours["one typo"].mrr
    verdicts.say(f"one typo: MRR {mrr:.3f}, at least {LEAST_MRR}", holds=mrr >= LEAST_MRR)
    if "pg_trgm" not in scores:
        return
    merged = {
        peer: Score(milliseconds=[*chain(*(score.milliseconds for score in kinds.values()))])
        for peer, kinds in scores.items()
    }
    their, our = merged["pg_trgm"], merged["index"]
    times = median(their.milliseconds) / median(our.milliseconds)
    text = f"median {times:.1f} times faster than pg_trgm, at least {TIMES_FASTER_MEDIAN}"
    verdicts.say(text, holds=times >= TIMES_FASTER_MEDIAN)
    times = their.slow / our.slow
    text = f"95th percentile {times:.1f} times faster, at least {TIMES_FASTER_SLOW}"
    verdicts.say(text, holds=times >= TIMES_FASTER_SLOW)


def find_peers(rows: list[tuple[str, str]], server: str) -> dict[str, Search]:
    peers = {"index": index_search(rows), "substring": substring_search(rows)}
    try:
        peers["pg_trgm"] = postgres_search(rows, server)
    except Exception as error:  # noqa: BLE001 - whatever is missing, the rest is measured
        print(f"pg_trgm is left out: {type(error).__name__}")
    return peers


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--queries", type=int, default=1000, help="names to look for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", default="host=127.0.0.1 user=postgres")
    arguments = parser.parse_args()
    rows, source = read_names()
    peers = find_peers(rows, arguments.postgres)
    print(f"{len(rows)} {source}, {arguments.queries} looked for, seed {arguments.seed}\n")
    scores = measure(peers, make_queries(rows, arguments.queries, arguments.seed))
    print(f"{'':20} {'peer':10} {'recall':>6} {'MRR':>6} {'median':>8} {'95 %':>8}  (ms)")
    for kind in scores["index"]:
        for peer, by_kind in scores.items():
            print(f"{kind:20} {peer:10} {by_kind[kind].show()}")
    print()
    verdicts = Verdicts()
    judge(scores, verdicts)
    size, seconds = measure_size(rows)
    text = f"{size:.1f} MiB at {LARGE} names, less than {MOST_MEMORY}"
    verdicts.say(text, holds=size < MOST_MEMORY)
    text = f"built in {seconds:.2f} s at {LARGE} names, less than {LONGEST_BUILD}"
    verdicts.say(text, holds=seconds < LONGEST_BUILD)
    here, away, hurried = run_sessions(rows)
    text = f"30 searches typed, the catalog here: {here.calls} calls to Medblocks"
    verdicts.say(text, holds=here.calls == 0)
    for session, how in ((away, "with the page's pauses"), (hurried, "every key asked for")):
        fewer = 1 - session.calls / session.keystrokes
        text = f"without it, {how}: {session.calls} calls for {session.keystrokes} keystrokes"
        text = f"{text}, {fewer:.0%} fewer, at least {FEWER_CALLS:.0%}"
        verdicts.say(text, holds=fewer >= FEWER_CALLS)
    return 0 if verdicts.all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
