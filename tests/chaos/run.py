"""Chaos: the real daemon between the two simulators, killed again and again while everything around it fails.

`python -m tests.chaos.run --kills 100 --nodes 2 --seed 7`: prints the counts; ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random, randrange
from typing import Any, cast

from attrs import frozen
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.internet.threads import deferToThread

from probo_bitbucket.sandbox import ratelimit
from probo_bitbucket.sandbox.stage import Stage
from tests import canaries
from tests.canary_watch import listen_in, watch
from tests.chaos.launcher import BUGS, LEASE, MINUTE
from tests.chaos.leftovers import leftovers
from tests.chaos.load import CONFIGURATIONS, Load
from tests.chaos.node import Balancer, Node
from tests.chaos.trouble import Trouble
from tests.chaos.verdict import Verdict, judge
from tests.postgres import Cluster, programs

EVENTS_A_SECOND = 5.0
LIVES = (0.05, 1.5)  # seconds that a daemon listens before it is killed: at least, at most
CRASH_EVERY = 8  # kills between two crashes of PostgreSQL; with fewer kills in all, it crashes after the last
FREEZE_EVERY = 3  # kills between two nodes that are frozen until the others have their work
SETTLED_WITHIN = 120.0  # seconds, once nothing is in the way any more
SKEW = 2.0  # seconds between the clocks of two nodes
REQUESTS = 600  # in the daemon's hour of 60 short minutes; the load takes more while nothing is in its way
TOKEN_LIFE = 130  # seconds; the daemon replaces a token that has less than 120 left
_UNEXPECTED = re.compile(r"(step|http|worker|round)\.failed|Unhandled error|Traceback").search


@frozen
class Plan:
    """What is to happen."""

    kills: int
    nodes: int
    seed: int
    bug: str = "none"


class Theatre(Stage):
    """The stage, with daemons on it in the place of the handler. With more than one, they share *cluster*."""

    def __init__(self, reactor: Any, directory: Path, plan: Plan, cluster: Cluster | None) -> None:
        self._directory = directory
        self._clock = reactor
        self.cluster = cluster
        database: dict[str, Any] = {"database": cluster.new_database()} if cluster else {}
        super().__init__(
            reactor,
            directory / "data",
            rateLimit=REQUESTS,
            forks="always",
            reconcile="never",  # it would find again what was lost
            log_level="debug",
            **database,
        )
        self.random = Random(plan.seed)
        self.cloud.rate_limit.limit = REQUESTS
        self.cloud.credentials.expires_in = TOKEN_LIFE
        self.container_manager.setting.overtake = Random(plan.seed)
        self.container_manager.setting.step_time = 0.2
        self.log = directory / "daemon.log"
        settings, skews = directory / "data" / "settings.yaml", cycle((0.0, SKEW))
        self.nodes = [
            Node(settings, self.log, plan.bug, skew) for _, skew in zip(range(plan.nodes), skews, strict=False)
        ]
        self._tending = LoopingCall(self._tend)
        self._balancer: IListeningPort | None = None

    def start_handler(self) -> None:
        """Start every node, and the load balancer in front of them."""
        self.settings()  # which writes them to a file
        self._clock.addSystemEventTrigger("before", "shutdown", self._kill)
        self._balancer = self._clock.listenTCP(0, Balancer(self.nodes), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{cast(IPv4Address, self._balancer.getHost()).port}"
        setting = self.container_manager.setting
        setting.handler_url, setting.auth_url, setting.archive_url = self.url, f"{self.url}/auth_lookup", self.cloud.url
        self._tending.start(0.1)

    def _tend(self) -> None:
        for node in self.nodes:
            node.tend()

    async def stop_handler(self) -> None:
        self._tending.stop()
        self._kill()
        if self._balancer is not None:
            await self._balancer.stopListening()  # type: ignore[misc]

    def leftovers(self) -> dict[str, int]:
        """What is left over in the store. Raises SQLAlchemyError."""
        return leftovers(self.settings().database_url)

    def _kill(self) -> None:
        for node in self.nodes:
            node.kill()


class Play:
    """One run of *plan*."""

    def __init__(self, reactor: Any, theatre: Theatre, plan: Plan, say: Callable[[str], None]) -> None:
        self._clock = reactor
        self._theatre = theatre
        self._plan = plan
        self._say = say
        self._random = theatre.random
        self._load = Load(theatre.cloud, Random(plan.seed))
        self._trouble = Trouble(theatre.cloud.faults, theatre.container_manager.faults, Random(plan.seed))
        self._crashes = self._frozen = 0

    async def run(self) -> Verdict:
        await self._theatre.open()
        for name in CONFIGURATIONS:
            self._theatre.watch(name)
        await self._until(lambda: all(node.listens for node in self._theatre.nodes), 120, "a node that listens")
        load, trouble = LoopingCall(self._load.act), LoopingCall(self._trouble.change)
        load.start(1 / EVENTS_A_SECOND)
        trouble.start(1.3)
        for kill in range(1, self._plan.kills + 1):
            await self._kill(kill)
        load.stop()
        trouble.stop()
        self._trouble.end()
        return await self._judged()

    async def _kill(self, number: int) -> None:
        node = self._random.choice(self._theatre.nodes)
        await self._until(lambda: node.listens, 120, "a node that listens")
        await deferLater(self._clock, self._random.uniform(*LIVES))
        if self._plan.nodes > 1 and number % FREEZE_EVERY == 0:
            node.freeze()
            await deferLater(self._clock, LEASE + self._random.uniform(0, 2))
            node.thaw()
            self._frozen += 1
            await deferLater(self._clock, self._random.uniform(0, 2))
        node.kill()
        if self._theatre.cluster and number % min(CRASH_EVERY, self._plan.kills) == 0:
            await deferToThread(self._theatre.cluster.stop, "immediate")
            await deferLater(self._clock, self._random.uniform(0, 3))
            await deferToThread(self._theatre.cluster.start)
            self._crashes += 1
        if number % 10 == 0:
            self._say(f"{number} kills, {len(self._theatre.container_manager.started)} builds")

    async def _judged(self) -> Verdict:
        verdict = Verdict(
            {"kills": self._plan.kills, "frozen nodes": self._frozen, "crashes of PostgreSQL": self._crashes}
        )
        await self._theatre.cloud.settled()
        began = time.monotonic()
        try:
            await self._until(self._settled, SETTLED_WITHIN, "nothing left to do")
        except TimeoutError:
            verdict.broken += [f"left over: {count} {what}" for what, count in self._leftovers().items()]
        self._say(f"settled within {time.monotonic() - began:.1f} s")
        theatre = self._theatre
        verdict.counts |= {
            "starts of a daemon": sum(node.starts for node in theatre.nodes),
            "requests above the limit": sum(request.status == 429 for request in theatre.cloud.requests),
            "requests that Bitbucket failed": sum(map(_failed, theatre.cloud.requests)),
            "requests that the Container Manager failed": sum(map(_failed, theatre.container_manager.requests)),
        }
        judge(theatre.cloud, theatre.container_manager, verdict)
        log = theatre.log.read_text()
        if theatre.cluster:
            watch.search_postgresql(theatre.settings().database_url)
        verdict.broken += [f"a secret where it does not belong: {heard}" for heard in watch.end()]
        verdict.broken += [f"the log has an unexpected error: {line}" for line in log.splitlines() if _UNEXPECTED(line)]
        return verdict

    def _settled(self) -> bool:
        builds = self._theatre.container_manager.builds.values()
        return not any(build["active"] for build in builds) and not self._leftovers()

    def _leftovers(self) -> dict[str, int]:
        with suppress(SQLAlchemyError):
            return self._theatre.leftovers()
        return {"stores that cannot be read": 1}

    async def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
            await deferLater(self._clock, 0.1)


def _failed(request: Any) -> bool:
    return request.status is None or request.status == 429 or request.status >= 500


async def perform(reactor: Any, plan: Plan, directory: Path, say: Callable[[str], None]) -> Verdict:
    """Carry *plan* out in *directory*."""
    ratelimit.HOUR = 60 * MINUTE
    cluster = None
    if plan.nodes > 1:
        found = programs()
        if found is None:
            raise RuntimeError("more than one node takes PostgreSQL, which is not installed")
        cluster = Cluster(found)
        reactor.addSystemEventTrigger("after", "shutdown", cluster.remove)  # also after Ctrl-C
        cluster.start()
    theatre = Theatre(reactor, directory, plan, cluster)
    try:
        return await Play(reactor, theatre, plan, say).run()
    finally:
        await theatre.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=int(os.environ.get("CHAOS_KILLS", "100")))
    parser.add_argument("--nodes", type=int, default=1, help="more than one share a PostgreSQL, which crashes, too")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", randrange(10**6))))
    parser.add_argument("--bug", choices=BUGS, default="none", help="put a bug in, to see that it is found")
    plan = Plan(**vars(parser.parse_args()))
    canaries.recognisable()
    listen_in()
    watch.begin()
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"{plan.kills} kills, {plan.nodes} node(s), CHAOS_SEED={plan.seed}, log in {directory}", flush=True)  # noqa: T201
    verdicts: list[Verdict] = []

    def performed(reactor: Any) -> Deferred[None]:
        say = lambda line: print(line, flush=True)  # noqa: E731, T201
        return Deferred.fromCoroutine(perform(reactor, plan, directory, say)).addCallback(verdicts.append)

    with suppress(SystemExit):
        react(performed)
    if not verdicts:
        sys.exit(2)
    print("\n".join(verdicts[0].lines()))  # noqa: T201
    sys.exit(1 if verdicts[0].broken else 0)


if __name__ == "__main__":
    main()
