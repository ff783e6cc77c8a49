"""Hooks accepted by several nodes that share a port and a PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.accepting import rate
from benchmarks.scene import CORES, OURS, Scene, free_port
from tests.postgres import Cluster, programs


async def accepted(scene: Scene, *, nodes: int, seconds: float) -> dict[str, float]:
    """How many are accepted a second by *nodes* nodes on as many cores, which are also all that the rest has."""
    cores = CORES[:nodes]
    with _cluster(cores) as cluster:
        common: dict[str, Any] = {"database": cluster.new_database(), "port": free_port(), "sharePort": True}
        daemons = [await scene.daemon(OURS, core, **common) for core in cores]
        try:
            return await rate(scene, daemons, 64, seconds, new=False, cores=cores)
        finally:
            for daemon in daemons:
                daemon.stop()


@contextmanager
def _cluster(cores: Sequence[int]) -> Iterator[Cluster]:
    """A PostgreSQL that has these cores only."""
    cluster = Cluster(programs())
    try:
        cluster.start()
        os.sched_setaffinity(_server(cluster.directory), cores)  # of those that it forks from now on, too
        yield cluster
    finally:
        cluster.remove()


def _server(directory: Path) -> int:
    """The process id of a cluster's server."""
    return int((directory / "data" / "postmaster.pid").read_text().partition("\n")[0])
