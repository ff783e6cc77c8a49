"""What is measured, and what it shall reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks import accepting, building, lookups, nodes, resting, spending, throughput
from benchmarks.comparison import Comparison, Measure
from benchmarks.scene import NODE_LIKE, OURS, UNWRITTEN

# Parts of the names of what --quick measures.
QUICK = ("without a store", "reported", "auth_lookup")


def programme(seconds: float) -> Iterator[Comparison]:
    """Each load lasts *seconds*."""

    def accept(command: Sequence[str], connections: int, *, new: bool) -> Measure:
        return partial(accepting.accepted, command=command, connections=connections, seconds=seconds, new=new)

    yield Comparison(
        "hooks accepted durably; baseline: without a store",
        "a second",
        "0.5",
        accept(OURS, 32, new=False),
        accept(UNWRITTEN, 32, new=False),
    )
    for connections, node in ((16, 550), (64, 802)):
        name = f"hooks accepted durably, {connections} at once, builds beside"
        yield Comparison(
            f"{name}; baseline: as Node",
            "a second",
            "3",
            accept(OURS, connections, new=True),
            accept(NODE_LIKE, connections, new=True),
        )
        yield Comparison(
            f"{name}, scaled to the machine where Node was measured; baseline: Node there",
            "a second",
            "3",
            partial(accepting.accepted_there, connections=connections, seconds=seconds),
            given=node,
            beside="here",
        )
    for words, target, measure, baseline in (
        ("; baseline: as Node", "45 and 0", spending.spent, spending.spent_as_node),
        (", with 15 % of the hour's budget left", "25", partial(spending.spent, left=0.15), None),
        (", with `statuses: summary`", "12", partial(spending.spent, statuses="summary"), None),
    ):
        yield Comparison(
            f"a build of 20 steps{words}",
            "requests",
            target,
            measure,
            baseline,
            beside="for tokens",
            less=True,
            counted=True,
        )
    yield Comparison(
        "statuses reported, far; baseline: as Node",
        "a second",
        "50",
        partial(throughput.reported, command=OURS, statuses=int(320 * seconds)),
        partial(throughput.reported, command=NODE_LIKE, statuses=16),
    )
    yield Comparison(
        "builds begun, far; baseline: as Node",
        "a second",
        "",
        partial(throughput.begun, command=OURS, builds=int(160 * seconds)),
        partial(throughput.begun, command=NODE_LIKE, builds=int(160 * seconds)),
    )
    yield Comparison(
        "/auth_lookup, far; baseline: as Node",
        "a second",
        "2,000 a second",
        partial(lookups.answered, command=OURS, seconds=seconds),
        partial(lookups.answered, command=NODE_LIKE, seconds=seconds),
    )
    yield Comparison(
        "hook to /startbuild beyond one round trip, one after the other; baseline: as Node",
        "p50 ms beyond",
        "15 ms",
        partial(building.delays, command=OURS, hooks=int(8 * seconds), per_second=4),
        partial(building.delays, command=NODE_LIKE, hooks=int(8 * seconds), per_second=2),
        less=True,
    )
    yield Comparison(
        "hook to /startbuild beyond one round trip, 50 hooks a second; baseline: as Node",
        "p99 ms beyond",
        "50 ms",
        partial(building.delays, command=OURS, hooks=int(100 * seconds), per_second=50),
        partial(building.delays, command=NODE_LIKE, hooks=int(100 * seconds), per_second=50),
        less=True,
    )
    yield Comparison(
        "answer to a hook with 1,000,000 deliveries in the store; baseline: 1,000",
        "p50 ms",
        "0.8",
        partial(accepting.with_rows, rows=1_000_000, seconds=seconds),
        partial(accepting.with_rows, rows=1_000, seconds=seconds),
        less=True,
    )
    yield Comparison(
        "hooks accepted by two nodes on two cores, with PostgreSQL and the load; baseline: one on one",
        "a second",
        "1.7",
        partial(nodes.accepted, nodes=2, seconds=seconds),
        partial(nodes.accepted, nodes=1, seconds=seconds),
    )
    yield Comparison("start to listening", "seconds", "1 s", resting.started)
    yield Comparison("memory at rest", "MiB", "80 MiB", resting.started)
    yield Comparison(
        "memory with a backlog of 100,000 deliveries", "MiB", "120 MiB", partial(resting.with_backlog, rows=100_000)
    )
