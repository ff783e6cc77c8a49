"""A coordinator's projects end in a shell line of the Container Manager, so not everything may be in them."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.errors import Permanent
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.upstream import Upstream
from tests.immediate import run
from tests.wire import Wire

PROJECT = {"id": "acme-site", "slug": "acme/site", "owner": "acme", "repo": "site"}


def project(**different: object) -> object:
    wire = Wire()
    wire.say(200, PROJECT | different)
    coordinator = ContainerManager(Upstream("the coordinator", wire.client, Clock()), "http://c", "c4n4ry-token")
    return run(coordinator.project("acme/site"))


def test_a_project_comes_as_it_is() -> None:
    assert project(more={"a": 1}) == PROJECT | {"more": {"a": 1}}


@pytest.mark.parametrize("name", ["$(reboot)", "site;reboot", "a b", "../site", "", "`x`", "site\n", None, ["site"]])
@pytest.mark.parametrize("key", ["owner", "repo"])
def test_what_is_not_a_slug_is_refused(key: str, name: object) -> None:
    with pytest.raises(Permanent, match=f"`{key}` of the project of acme/site"):
        project(**{key: name})
