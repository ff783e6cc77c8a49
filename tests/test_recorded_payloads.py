"""Webhook bodies as real Bitbucket sent them: none is answered with an error of ours, each leads to a decision."""

from __future__ import annotations

from pathlib import Path
from unittest import SkipTest

from tests.staged import StageTestCase

PAYLOADS = Path(__file__).parents[2] / "shared" / "payloads"


class RecordedPayloads(StageTestCase):
    async def test_every_recorded_payload_leads_to_a_decision_and_to_nothing_else(self) -> None:
        paths = sorted(PAYLOADS.glob("*.json"))
        if not paths:
            raise SkipTest(f"there are no recorded payloads in {PAYLOADS}")
        for path in paths:
            answer = await self.deliver(_event_key(path), path.read_bytes())
            assert (answer.status, answer.json) == (200, {"ok": True}), (path.name, answer)
        decisions = await self.decided(len(paths))
        assert {state for _, state, _ in decisions} <= {"accepted", "ignored", "refused"}
        assert all(reason for _, state, reason in decisions if state != "accepted")
        await self.until(lambda: not self.rows("SELECT id FROM builds WHERE pending"))
        ended = self.rows("SELECT state, reason FROM builds")  # the simulator does not have their repositories
        assert {state for state, _ in ended} == {"failed"}
        assert all("does not show" in reason for _, reason in ended)
        assert self.started() == []


def _event_key(path: Path) -> str:
    """`repo_commit_status_created__bd10e9.json` is a body of `repo:commit_status_created`."""
    return path.name.partition("__")[0].replace("_", ":", 1)
