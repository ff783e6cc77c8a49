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
    settings: ClassVar[dict[str, Any]] = {"retryFor": 1}

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
        told = {"build.postponed", "build.started", "update.accepted", "status.postponed"}
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

    async def test_every_event_is_listed_with_its_level(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/src/.*", times=1))
        await self.built(self.repository.open_pull_request())
        await self.deliver("pullrequest:approved", b"{}")
        await self.deliver("pullrequest:created", b"{}")
        listed = {(event.name, event.level) for event in EVENTS}
        heard = {(event["event"], event["log_level"].name) for event in self.events if "event" in event}
        assert heard - listed == set()
        assert len(heard) > 8
