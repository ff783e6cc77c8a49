"""The log tells the story of one delivery, and a search for its id finds all of it."""

from __future__ import annotations

import re
from typing import Any, ClassVar, cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from probo_bitbucket import logs
from probo_bitbucket.log_events import EVENTS
from probo_bitbucket.sandbox.faults import Answer, Fault
from tests.staged import StageTestCase


class Story(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"retryFor": 1, "comment": True}

    async def prepare(self) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self, text: str) -> list[str]:
        """The lines with *text* in them: what grep would show."""
        shown = [logs.format_event(event) for event in self.events]
        return [line for line in shown if text in line]

    def names(self, lines: list[str]) -> list[str]:
        return [line.split()[2] for line in lines]

    async def test_from_the_hook_to_the_last_status(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/src/.*", times=1))
        self.cloud.faults.add(Fault(Answer(503), ".*/statuses/build", times=1))
        await self.built(self.repository.open_pull_request())
        await self.built(self.repository.open_pull_request("Another one", "another", {"a": b"1"}))
        story = self.lines("delivery=1 ")
        assert self.names(story)[:2] == ["delivery.accepted", "build.wanted"]
        told = {"build.postponed", "build.started", "update.accepted", "status.postponed", "comment.written"}
        assert told < set(self.names(story))
        reported = [line for line in story if "status.reported" in line and "state=SUCCESSFUL" in line]
        assert len({line.partition("key=")[2].split()[0] for line in reported}) == 3
        (build,) = re.findall(r"build=(\S+)", story[1])
        assert set(self.lines(f"build={build}")) <= set(story)
        for line in story:
            assert {"repository=acme/site", "pull_request=1"} <= set(line.split()), line

    async def test_what_is_given_up_on_has_its_line(self) -> None:
        self.cloud.faults.add(Fault(Answer(403), ".*/statuses/build"))
        await self.built(self.repository.open_pull_request())
        failed = self.lines("status.failed")
        assert failed
        assert all("pull_request=1" in line and "build=" in line and "key=" in line for line in failed)

    async def test_what_an_operator_does_is_part_of_the_story(self) -> None:
        await self.built(self.repository.open_pull_request())
        [(first,)] = self.rows("SELECT id FROM builds")
        await self.run_command("builds", "rebuild", first)
        await self.until(lambda: len(self.started()) == 2)
        await self.settled()
        await self.run_command("deliveries", "replay", "1")
        await self.decided(1)
        (second,) = (id for (id,) in self.rows("SELECT id FROM builds") if id != first)
        await self.run_command("builds", "take-down", second)
        await self.settled()
        story = self.lines("delivery=1 ")
        told = {"delivery.sent_again", "build.wanted_again", "build.unwanted", "build.removed"}
        assert told < set(self.names(story))
        for line in story:
            assert {"repository=acme/site", "pull_request=1"} <= set(line.split()), line
        for id in (first, second):
            assert set(self.lines(f"build={id}")) <= set(story)

    async def test_a_take_down_names_the_delivery_that_led_to_it(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        pull_request.merge()
        await self.settled()
        (line,) = self.lines("build.removed")
        assert {"delivery=1", "ending_delivery=2", "pull_request=1"} <= set(line.split())
        assert line in self.lines("delivery=2 ")

    async def test_a_build_of_another_handler_that_is_taken_down_is_part_of_the_story_of_the_end(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        (ours,) = self.container_manager.builds.values()
        self.container_manager.start({**ours, "id": "theirs"}, ours["project"])
        await self.container_manager.wait_for("theirs")
        pull_request.merge()
        await self.settled()
        (line,) = (line for line in self.lines("build.removed") if "build=theirs" in line)
        assert {"ending_delivery=2", "pull_request=1"} <= set(line.split())

    async def test_that_a_build_waits_for_credentials_is_told_once(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.repository.open_pull_request()
        await self.until(lambda: len(self.postponements()) > 3)
        assert [event["log_level"].name for event in self.postponements()[:3]] == ["warn", "debug", "debug"]

    def postponements(self) -> list[LogEvent]:
        return [event for event in self.events if event.get("event") == "build.postponed"]

    async def test_every_event_is_listed_with_its_level(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/src/.*", times=1))
        await self.built(self.repository.open_pull_request())
        await self.deliver("pullrequest:approved", b"{}")
        await self.deliver("pullrequest:created", b"{}")
        listed = {(event.name, event.level) for event in EVENTS}
        heard = {(event["event"], event["log_level"].name) for event in self.events if "event" in event}
        assert heard - listed == set()
        assert len(heard) > 8
