"""`/readyz` is red while something stands in the way, names it, and turns green by itself."""

from __future__ import annotations

import json
from typing import Any

from probo_bitbucket import breaker
from probo_bitbucket.sandbox.faults import Cut, Fault
from tests.staged import StageTestCase


class Health(StageTestCase):
    async def look(self) -> tuple[int, dict[str, str]]:
        """The status, and what was found wrong with what."""
        status, body = await self.get("/readyz")
        document = json.loads(body)
        self.assertEqual(document["ok"], status == 200)
        return status, {each["subject"]: each["trouble"] for each in document["findings"] if each["trouble"]}

    async def get(self, path: str) -> tuple[int, bytes]:
        response = await self.client.request("GET", f"{self.stage.url}{path}")
        return response.code, await response.content()

    async def test_all_is_well(self) -> None:
        self.assertEqual(await self.get("/healthz"), (200, b'{"ok":true}'))
        self.assertEqual(await self.look(), (200, {}))

    async def test_a_full_disk_is_named_from_the_first_delivery_that_it_turns_away_until_there_is_room(self) -> None:
        await self.fill_disk()
        self.assertEqual((await self.deliver("pullrequest:approved", b"{}")).status, 503)
        for _ in range(2):
            status, found = await self.look()
            self.assertEqual(status, 503)
            self.assertIn("full: nothing is accepted; make room on the disk", found["store"])
        self.assertIn("probo_bitbucket_store_up 0.0", (await self.get("/metrics"))[1].decode())
        await self.make_room_on_disk()
        self.assertEqual(await self.look(), (200, {}))
        self.assertIn("probo_bitbucket_store_up 1.0", (await self.get("/metrics"))[1].decode())

    async def test_dead_credentials_are_named_with_what_to_do(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        found: dict[str, Any] = {}

        async def red() -> bool:
            status, found[""] = await self.look()
            return status == 503

        while not await red():
            pass
        said = found[""]["credentials default"]
        self.assertRegex(said, r"is invalid: all work of the account waits; open /setup, or put new ones into")

    async def test_an_upstream_that_is_down_is_named_until_it_is_back(self) -> None:
        _, several, _, *rest = breaker.Breaker.__init__.__defaults__ or ()
        self.patch(breaker.Breaker.__init__, "__defaults__", (1, several, 0.1, *rest))
        await self.stage.stop_handler()
        self.stage.start_handler()
        fault = self.container_manager.faults.add(Fault(Cut()))
        pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        while (await self.look())[0] == 200:
            pass
        self.assertIn("the Container Manager", (await self.look())[1])
        self.container_manager.faults.remove(fault)
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        self.assertEqual(await self.look(), (200, {}))
