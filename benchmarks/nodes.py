"""Hooks accepted by several nodes that share a port and a PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.accepting import rate
from benchmarks.scene import CORES, OURS, CannotMeasure, Scene, free_port
from tests.postgres import Cluster, NotInstalled, installed


async def accepted(scene: Scene, *, nodes: int, seconds: float) -> dict[str, float]:
    """How many are accepted a second by *nodes* nodes on as many cores, which are also all that the rest has.

    Raises CannotMeasure.
    """
    if len(CORES) < nodes:
        raise CannotMeasure(f"there are no {nodes} cores")
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
    """A PostgreSQL all of whose processes have these cores only, as what starts them has.

    Raises CannotMeasure.
    """
    try:
        cluster, ours = Cluster(installed()), os.sched_getaffinity(0)
    except NotInstalled as missing:
        raise CannotMeasure(str(missing)) from missing
    try:
        os.sched_setaffinity(0, cores)
        try:
            cluster.start()
        finally:
            os.sched_setaffinity(0, ours)
        yield cluster
    finally:
        cluster.remove()
