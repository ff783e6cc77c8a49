"""Environments: what is not there yet cannot be taken down."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, evolve, field
from twisted.internet.task import Clock

from probo_bitbucket.errors import Temporary
from probo_bitbucket.flow.builds.environments import COMING, OwnEnvironments
from probo_bitbucket.model import RemovalReason
from probo_bitbucket.probo.container_manager import BuildReport, ContainerManager
from probo_bitbucket.store import Effort
from probo_bitbucket.store.removals import Removal
from tests.immediate import result_of, start

REMOVAL = Removal("b-1", "acme/site", 7, RemovalReason.CLOSED, "pull request #7 is merged")


@define
class Builds:
    """In place of the Container Manager: it knows one build."""

    report: BuildReport
    removed: list[str] = field(factory=list)

    async def find(self, build_id: str) -> BuildReport:
        return self.report

    async def remove(self, build_id: str, *_: Any) -> None:
        self.removed.append(build_id)


def take_down(builds: Builds, removal: Removal, clock: Clock) -> bool:
    environments = OwnEnvironments(cast(ContainerManager, builds), clock)
    return bool(result_of(start(environments.take_down(removal))))


def test_a_container_that_is_still_being_made_is_waited_for(clock: Clock) -> None:
    builds = Builds(BuildReport("b-1", active=True))
    with pytest.raises(Temporary):
        take_down(builds, REMOVAL, clock)
    assert builds.removed == []


def test_one_that_does_not_come_is_not_waited_for_any_longer(clock: Clock) -> None:
    builds = Builds(BuildReport("b-1", active=True))
    clock.advance(COMING)
    tried = evolve(REMOVAL, effort=Effort(9, clock.seconds() - COMING))
    assert take_down(builds, tried, clock)
    assert builds.removed == ["b-1"]


def test_a_build_that_ended_without_one_is_not_waited_for(clock: Clock) -> None:
    builds = Builds(BuildReport("b-1", active=False))
    assert take_down(builds, REMOVAL, clock)
