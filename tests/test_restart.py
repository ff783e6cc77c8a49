"""Stopping and starting again on the same data: nothing is lost and nothing is done twice."""

from __future__ import annotations

from twisted.logger import capturedLogs

from probo_bitbucket.sandbox.faults import Answer, Fault, LoseAnswer, Slow
from tests.staged import StageTestCase

TOKENS = "/site/oauth2/access_token"


class Restart(StageTestCase):
    async def restart(self) -> None:
        await self.stage.stop_handler()
        self.stage.start_handler()

    async def test_a_delivery_that_was_answered_is_built_after_a_restart(self) -> None:
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request = self.repository.open_pull_request()
        await self.cloud.settled()
        await self.stage.stop_handler()
        self.cloud.faults.remove(fault)
        self.stage.start_handler()
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def test_a_build_whose_configuration_was_read_is_started_after_a_restart_without_reading_it_again(
        self,
    ) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.posted("/startbuild"))
        await self.stage.stop_handler()
        reads = len(self.asked("/src/"))
        self.container_manager.faults.remove(fault)
        self.stage.start_handler()
        await self.built(pull_request)
        assert len(self.asked("/src/")) == reads
        assert len(self.container_manager.started) == 1

    async def test_a_build_whose_answer_was_lost_before_a_restart_is_not_started_twice(self) -> None:
        self.container_manager.faults.add(Fault(LoseAnswer(), "/startbuild", times=1))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.container_manager.started)
        await self.restart()
        await self.built(pull_request)
        assert list(self.container_manager.started.values()) == [1]
        self.check_container_manager()

    async def test_a_status_that_bitbucket_did_not_take_is_reported_after_a_restart(self) -> None:
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/statuses/build"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: any(not build["active"] for build in self.container_manager.builds.values()))
        await self.stage.stop_handler()
        assert self.states(pull_request) == {}
        self.cloud.faults.remove(fault)
        self.stage.start_handler()
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def test_what_is_on_its_way_when_it_stops_is_ended_first(self) -> None:
        self.cloud.faults.add(Fault(Slow(0.1), ".*/src/.*"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.asked("/src/"))
        await self.stage.stop_handler()
        ((state,),) = self.rows("SELECT state FROM builds")
        assert state == "running"
        assert pull_request.commit == self.started()[0]["build"]["commit"]["ref"]

    async def test_the_stop_waits_for_a_refresh_because_the_old_token_dies_of_it(self) -> None:
        self.cloud.credentials.consumers.clear()
        self.cloud.add_consumer(self.stage.consumer.key, self.stage.consumer.secret, grace=0.0)
        first = self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(self.stage.consumer.key)
        await self.restart_with_a_slow_refresh()
        ((kept,),) = self.rows("SELECT refresh_token FROM chains JOIN chain_holders ON chain = origin")
        assert kept != first
        self.stage.start_handler()
        pull_request = self.repository.open_pull_request()
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def restart_with_a_slow_refresh(self) -> None:
        await self.stage.stop_handler()
        self.cloud.requests.clear()
        self.cloud.faults.add(Fault(Slow(0.1), TOKENS))
        self.stage.start_handler()
        await self.until(lambda: self.asked(TOKENS, "POST"))
        await self.stage.stop_handler()

    async def test_a_rotated_refresh_token_is_used_after_a_restart_in_place_of_the_one_in_the_settings(self) -> None:
        await self.built(self.repository.open_pull_request())
        self.cloud.credentials._refresh_tokens.pop(self.stage.refresh_token)  # it has died meanwhile
        self.cloud.credentials.revoke_access_tokens()
        await self.restart()
        pull_request = self.repository.open_pull_request("Another", "another", {"b": b"b"})
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def test_a_restart_without_anything_to_do_asks_the_container_manager_for_nothing_new(self) -> None:
        await self.built(self.repository.open_pull_request())
        await self.restart()
        await self.settled()
        assert len(self.posted("/startbuild")) == 1

    async def test_a_start_tells_what_waits_from_before(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE attempts"))
        with capturedLogs() as events:
            await self.restart()
        resumed = [event for event in events if event.get("event") == "daemon.resumed"]
        assert [(event["work"], event["count"]) for event in resumed] == [("builds", 1)]
        assert resumed[0]["retry_at"].startswith("20")
