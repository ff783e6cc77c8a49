"""What the Container Manager lists: one odd build must not stand in the way of the others."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket import logs
from probo_bitbucket.model import BUILD_ID
from probo_bitbucket.probo import container_manager
from probo_bitbucket.probo.container_manager import ContainerManager, StepReport
from probo_bitbucket.upstream import Upstream
from tests.immediate import run
from tests.wire import Wire


def listed(*ids: object) -> list[str]:
    wire = Wire()
    wire.say(200, [{"id": id} for id in ids])
    asked = ContainerManager(Upstream("the Container Manager", wire.client, Clock()), "http://c")
    return [build.id for build in run(asked.builds())]


def test_the_longest_id_that_can_be_written_down_is_listed() -> None:
    assert listed("a" * BUILD_ID) == ["a" * BUILD_ID]


@pytest.mark.parametrize("id", ["a" * (BUILD_ID + 1), "a\0b", "", 5, None])
def test_an_id_that_cannot_be_written_down_is_left_out(id: object) -> None:
    assert listed("first", id, "last") == ["first", "last"]


def test_the_description_of_a_step_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    known = logs.Secrets()
    known.hide("a-live-access-token")
    monkeypatch.setattr(container_manager, "redact_tokens", known.redact_tokens)
    assert StepReport(id="1", description="curl a-live-access-token").description == f"curl {logs.HIDDEN}"
