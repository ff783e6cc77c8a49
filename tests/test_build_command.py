"""`probo-bitbucket build`: an operator has something built."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.sandbox.faults import Answer, Fault
from tests.staged import StageTestCase


class BuildCommand(StageTestCase):
    async def test_a_pull_request_is_built_once_more(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        assert "is wanted" in await self.run_command("build", "acme/site", str(pull_request.number))
        await self.until(lambda: len(self.started()) == 2)
        await self.settled()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}
        [standing] = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        assert standing["id"] == self.started()[1]["build"]["id"]

    async def test_one_from_a_fork_is_built_because_an_operator_says_so(self) -> None:
        fork = self.cloud.fork(self.repository, "stranger/site")
        pull_request = self.repository.open_pull_request(source=fork)
        await self.decided(1)
        await self.run_command("build", "acme/site", str(pull_request.number))
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def test_what_is_to_be_started_is_not_made_twice(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.decided(1)
        said = await self.run_command("build", "acme/site", str(pull_request.number), status=1)
        self.container_manager.faults.remove(fault)
        assert "still to be started" in said

    async def test_a_commit_is_built(self) -> None:
        pull_request = self.unannounced()
        await self.run_command("build", "acme/site", pull_request.commit[:12])
        await self.until(self.started)
        [document] = self.started()
        assert document["build"]["type"] == "hash"
        assert document["build"]["commit"]["ref"] == pull_request.commit

    async def test_a_hash_of_decimal_digits_is_a_commit_where_no_pull_request_has_that_number(self) -> None:
        assert "of 1234567 is wanted" in await self.run_command("build", "acme/site", "1234567")

    async def test_what_cannot_be_built_is_told_in_words(self) -> None:
        for what, words in (("7", "no webhook told of an open pull request #7"), ("../..", "is not a commit hash")):
            assert words in await self.run_command("build", "acme/site", what, status=1)


class Others(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"repositories": ["acme"]}

    async def test_a_repository_that_is_not_ours_is_not_built(self) -> None:
        said = await self.run_command("build", "other/site", "0123456789ab", status=1)
        assert "not among the `repositories`" in said
