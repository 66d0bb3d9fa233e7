"""What is measured. Each scenario returns the rows of the table."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import IO, Any

from benchmarks.load.servers import (
    OURS,
    RECIPE,
    THREADS,
    WORKERS,
    Host,
    Services,
    StandIn,
    make_host,
)

LEAST_FLOWS_RATIO, LEAST_SEARCH_RATIO = 1.5, 10.0
FAULTS = {"fails": 0.05, "limits": 0.05, "hangs": 0.03, "resets": 0.03, "garbage": 0.02}
SECONDS_BETWEEN_KILLS = 20.0
SECONDS_BETWEEN_RECONCILIATIONS = 30.0
WEBHOOK_PATIENCE = 180.0
RECEIVER_SECONDS = "3"
MOST_GROWTH = 1.1  # of memory, threads, sockets and connections
MEMORY_USERS, WARM_UP, WARM_UP_ROUNDS = 32, 500, 6
KEPT_SECONDS = 4.0  # gunicorn keeps an idle connection for two
MOST_CHANGE = 1.2  # of the others' median beside those who reload
NO_LIMIT = 10**6
PROBLEMS = ("lost", "wrong", "stuck", "signal missing", "signal pending")


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, where, and whether it is as it is to be."""

    scenario: str
    figure: str
    measured: str
    aim: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Options:
    """How much is played."""

    services: Services
    flows: int
    seconds: float
    users: int
    searches: int
    webhooks: int
    log: IO[str]


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def compare(options: Options, stand_in: StandIn) -> Iterator[Row]:
    """Flows a second and the latency of a search, ours beside the recipe's."""
    figures = {}
    for name, application in (("ours", OURS), ("the recipe", RECIPE)):
        with (
            make_host(options.services, stand_in, options.log) as host,
            host.serve(application),
        ):
            figures[name] = measure_flows(host, options)
    ours, recipe = figures["ours"], figures["the recipe"]
    scenario = f"compare, {options.services.name}"
    ratio = ours["rate"] / recipe["rate"]
    yield Row(
        scenario,
        f"flows a second, {options.users} patients without pauses",
        f"{ours['rate']:.2f}, the recipe {recipe['rate']:.2f}: {ratio:.2f} x",
        f"{LEAST_FLOWS_RATIO} x",
        ratio >= LEAST_FLOWS_RATIO,
    )
    ratio = recipe["search"] / ours["search"]
    yield Row(
        scenario,
        f"search p95, {STEADY_USERS} patients with pauses",
        f"{ours['search']:.0f} ms, the recipe {recipe['search']:.0f} ms: {ratio:.1f} x lower",
        f"{LEAST_SEARCH_RATIO:.0f} x lower",
        ratio >= LEAST_SEARCH_RATIO,
    )
    yield Row(
        scenario,
        "search p95 without pauses",
        f"{ours['busy search']:.0f} ms, the recipe {recipe['busy search']:.0f} ms",
    )
    yield Row(
        scenario,
        "processor time of the workers per flow, webhooks included",
        f"{ours['cpu'] * 1000:.0f} ms, the recipe {recipe['cpu'] * 1000:.0f} ms",
    )
    for name, told in figures.items():
        yield Row(scenario, f"ends of flows, {name}", write_counts(told["ends"]))
        yield Row(scenario, f"5xx, {name}", write_counts(told["server_errors"]))


STEADY_USERS = 8
STEADY_PAUSE = (0.5, 1.5)


def measure_flows(host: Host, options: Options) -> dict[str, Any]:
    host.play(plays="flows", users=4, count=NO_LIMIT, seconds=5)  # imports, indexes, pools
    cpu_before = host.count_cpu_seconds()
    busy = host.play(plays="flows", users=options.users, count=NO_LIMIT, seconds=options.seconds)
    host.stand_in.wait_for_webhooks(WEBHOOK_PATIENCE)
    cpu_seconds = host.count_cpu_seconds() - cpu_before
    steady = host.play(
        plays="flows",
        users=STEADY_USERS,
        count=NO_LIMIT,
        seconds=options.seconds,
        pause=STEADY_PAUSE,
    )
    whole = {"came back", "left the portal", "decided and left"}
    ends = Counter(busy["ends"]) + Counter(steady["ends"])
    finished = sum(number for end, number in busy["ends"].items() if end in whole)
    return {
        "rate": finished / busy["seconds"],
        "cpu": cpu_seconds / finished,
        "busy search": percentile(busy["milliseconds"]["results"], 0.95),
        "search": percentile(steady["milliseconds"]["results"], 0.95),
        "ends": ends,
        "server_errors": Counter(busy["server_errors"]) + Counter(steady["server_errors"]),
    }


def break_things(options: Options, stand_in: StandIn) -> Iterator[Row]:
    """Flows while calls fail and workers die; then every attempt is held against the truth."""
    with make_host(options.services, stand_in, options.log) as host:
        with host.serve():
            stand_in.turn(faults=FAULTS)
            with (
                host.kill_workers(SECONDS_BETWEEN_KILLS),
                host.reconcile_every(SECONDS_BETWEEN_RECONCILIATIONS),
            ):
                played = host.play(
                    plays="flows", users=options.users, count=options.flows, seconds=NO_LIMIT
                )
            stand_in.turn(faults={}, latency=[0, 0], webhook_delay=[0, 0.2])
            undelivered = stand_in.wait_for_webhooks(WEBHOOK_PATIENCE)
            stand_in.turn(webhook_delay=[0, 8])
        counts = stand_in.count()
        host.command("settle")
        host.command("age")
        stand_in.turn(expire=True)
        settled = host.command("settle")
        judged = judge(host, played)
    scenario = f"faults, {options.services.name}"
    rate = options.flows / played["seconds"]
    yield Row(
        scenario,
        "flows, attempts",
        f"{options.flows} flows in {played['seconds']:.0f} s ({rate:.1f} a second), "
        f"{judged['attempts']} attempts: {write_counts(judged['statuses'])}",
    )
    yield Row(scenario, "errors of failed attempts", write_counts(judged["errors"]))
    ended = sum(played["ends"].values())
    yield Row(
        scenario,
        "ends of flows",
        write_counts(played["ends"]),
        f"{options.flows} in all",
        ended == options.flows,
    )
    faults = {name: number for name, number in counts.items() if name.startswith("fault")}
    yield Row(scenario, "faults", f"{write_counts(faults)}, workers killed {host.killed}")
    hooks = {name: number for name, number in counts.items() if name.startswith("webhooks")}
    slowest = counts["slowest_webhook"]
    yield Row(scenario, "webhooks", f"{write_counts(hooks)}, slowest answer {slowest:.1f} s")
    yield Row(scenario, "webhooks not delivered", str(undelivered), "0", undelivered == 0)
    for kind in PROBLEMS:
        number = judged["kinds"].get(kind, 0)
        yield Row(scenario, kind, str(number), "0", number == 0)
    for problem in judged["problems"]:
        yield Row(scenario, "problem", problem)
    errors = played["server_errors"]
    yield Row(scenario, "5xx", write_counts(errors), "none", not errors)
    left = settled["left"]
    yield Row(
        scenario,
        "left by reconciliation: attempts, signals, events",
        f"{left} after {settled['runs']} runs",
        "none",
        not any(left),
    )


def judge(host: Host, played: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"told": played["told"], "truth": host.stand_in.read_truth()}, file)
        file.flush()
        return host.command("judge", file.name)


def watch_memory(options: Options, stand_in: StandIn) -> Iterator[Row]:
    """What the workers hold before and after many searches and webhooks."""
    environment = {"LOAD_DEFERS": "yes", "LOAD_RECEIVER_SECONDS": RECEIVER_SECONDS}
    scenario = f"memory, {options.services.name}"
    with make_host(options.services, stand_in, options.log, **environment) as host:
        host.command("make_attempts", str(options.webhooks + WARM_UP))
        with host.serve():
            # The warm-up fills every pool: each thread has had a search and a webhook.
            searches = {"plays": "searches", "users": MEMORY_USERS, "seconds": NO_LIMIT}
            hooks = {"plays": "webhooks", "users": MEMORY_USERS, "seconds": NO_LIMIT}
            host.play(**hooks, count=WARM_UP, first=options.webhooks)
            for _round in range(WARM_UP_ROUNDS):
                host.play(**searches, count=WARM_UP)
                if host.measure()["threads"] >= WORKERS * (THREADS + 1):
                    break
            before = measure_idle(host)
            searched = host.play(**searches, count=options.searches)
            between = measure_idle(host)
            told = host.play(**hooks, count=options.webhooks, first=0)
            after = measure_idle(host)
    yield Row(
        scenario,
        "answers",
        f"{write_counts(searched['statuses'])}, {write_counts(told['statuses'])}",
        "all 200",
        set(searched["statuses"]) | set(told["statuses"]) == {"results 200", "webhook 200"},
    )
    late = percentile(told["milliseconds"]["webhook"], 0.95)
    yield Row(scenario, "webhook p95, receiver of 3 s", f"{late:.0f} ms")
    for name, number in before.items():
        most = max(between[name], after[name])
        yield Row(
            scenario,
            name,
            f"{number:.0f}; after {options.searches} searches {between[name]:.0f}; "
            f"after {options.webhooks} webhooks {after[name]:.0f}",
            f"{MOST_GROWTH} x",
            most <= number * MOST_GROWTH,
        )


def measure_idle(host: Host) -> dict[str, float]:
    """Return what the workers hold once browsers' kept connections are closed."""
    time.sleep(KEPT_SECONDS)
    return host.measure()


def reload_returns(options: Options, stand_in: StandIn) -> Iterator[Row]:
    """What others notice while two patients reload a return URL, twenty times at once each."""
    with make_host(options.services, stand_in, options.log) as host, host.serve():
        host.play(plays="flows", users=4, count=NO_LIMIT, seconds=5)
        stand_in_calls = stand_in.count()["calls"]
        played = host.play(
            plays="reloads",
            users=STEADY_USERS,
            count=NO_LIMIT,
            seconds=2 * options.seconds,
            pause=STEADY_PAUSE,
        )
        calls = stand_in.count()["calls"] - stand_in_calls
    scenario = f"reloads, {options.services.name}"
    for name in ("results", "outcome"):
        alone, beside = (
            median(played["milliseconds"].get(f"{phase} {name}") or [0.0])
            for phase in ("alone", "beside")
        )
        yield Row(
            scenario,
            f"others' median, {name}",
            f"{alone:.0f} ms alone, {beside:.0f} ms beside the reloads",
            f"{MOST_CHANGE} x",
            beside <= alone * MOST_CHANGE,
        )
    reloads = {name: n for name, n in played["statuses"].items() if name.startswith("reload")}
    yield Row(scenario, "reloads answered", write_counts(reloads))
    yield Row(scenario, "calls to Medblocks in all", str(calls))
    yield Row(scenario, "ends of flows", write_counts(played["ends"]))
    errors = played["server_errors"]
    yield Row(scenario, "5xx", write_counts(errors), "none", not errors)


def write_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts)) or "none"


SCENARIOS = {
    "compare": compare,
    "faults": break_things,
    "memory": watch_memory,
    "reloads": reload_returns,
}
