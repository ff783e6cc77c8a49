"""Every secret is a canary: a whole life of the handler, with all that goes wrong, and none of them is heard.

The watch searches what it searches in every test; here it is all that can be looked at, and the repr of every object of
the handler besides.
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from probo_bitbucket import logs
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.flow.builds import lookup
from probo_bitbucket.flow.credentials import chain
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.sandbox import stage
from probo_bitbucket.sandbox.faults import HTML, Answer, Fault
from tests.canaries import canary, forget_secrets_at_starts, keep_log, reprs, songs
from tests.canary_watch import watch
from tests.staged import Answered
from tests.test_setup import SetupTestCase

TOKENS = "/site/oauth2/access_token"
API_TOKEN = canary("api-token")
ACCESS_TOKEN = canary("access-token")
INTERNAL_TOKEN = canary("internal-token")
LISTS = ("pull-requests", "builds", "deliveries", "repositories")
FIXED = (stage.SECRET, stage.HOOK_SECRET, API_TOKEN, ACCESS_TOKEN, INTERNAL_TOKEN)

PAIRS = [
    base64.b64encode(pair.encode()).decode() for pair in (f"{stage.KEY}:{stage.SECRET}", f"ada@example.com:{API_TOKEN}")
]


class Canary(SetupTestCase):
    timeout = 120
    settings: ClassVar[dict[str, Any]] = {
        "internalToken": INTERNAL_TOKEN,
        "accounts": [
            {"name": "ada", "repositories": "globex/*", "bbEmail": "ada@example.com", "bbApiToken": API_TOKEN},
            {"name": "initech", "repositories": "initech/*", "bbAccessToken": ACCESS_TOKEN},
        ],
    }

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(lookup, "PATIENCE", 0.1)
        self.patch(chain, "DEAD_PAUSE", 0.1)  # two 401 in a row are enough for it
        await super().setUp()

    def register(self, **consumer: Any) -> None:
        registered = self.cloud.add_consumer(stage.KEY, stage.SECRET, f"{self.stage.url}/setup/callback", **consumer)
        for token in self.cloud.credentials._refresh_tokens.values():
            token.consumer = registered

    async def leave(self, secret: str = stage.SECRET, **also: str) -> str:
        return await super().leave(secret, account="default", **also)

    async def prepare(self) -> None:
        self.cloud.credentials.add_api_token("ada@example.com", API_TOKEN, ("pullrequest",))
        self.cloud.credentials.add_access_token(ACCESS_TOKEN, ("pullrequest",), "initech")
        self.log_path = keep_log(self)
        forget_secrets_at_starts(self)

    async def ask(self, token: str) -> Answered:
        return await self.call("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(token, safe='')}")

    async def live(self) -> None:
        """All that a handler goes through."""
        await self.builds_of_all_kinds()
        await self.restarts()
        await self.refusals_and_pages()
        await self.is_looked_at()
        await self.defects()
        await self.dies_and_is_set_up_again()
        await self.is_looked_at()

    async def builds_of_all_kinds(self) -> None:
        await self.built(self.repository.open_pull_request())
        for name in ("globex/shop", "initech/tps"):
            repository = self.cloud.add_repository(name, {".probo.yaml": stage.CONFIGURATION})
            self.stage.watch(name)
            await self.built(repository.open_pull_request())
        for token in (*self.handles(), self.stage.refresh_token, ACCESS_TOKEN, canary("of-nobody")):
            await self.ask(token)
        await self.call("GET", f"/t/{INTERNAL_TOKEN}/branches/acme/site")
        await self.call("GET", f"/t/x{INTERNAL_TOKEN}/branches/acme/site")
        await self.deliver("pullrequest:created", b"{}", X_Hub_Signature="sha256=00")

    def handles(self) -> list[str]:
        return [document["project"]["service_auth"]["refreshToken"] for document in self.started()]

    async def restarts(self) -> None:
        await self.stage.stop_handler()
        self.stage.start_handler()
        ((self.access_token, self.refresh_token),) = self.rows("SELECT access_token, refresh_token FROM chains")
        await self.call("GET", "/branches/acme/site")

    async def refusals_and_pages(self) -> None:
        """Bitbucket, and what stands before it, can repeat what was sent to them."""
        said = f"{'Bitbucket does not like this. ' * 6}{self.access_token} {self.refresh_token} {PAIRS}"
        page = Answer(502, f"<html>{said}</html>".encode(), HTML)
        for effect in (Answer(401), Answer(403, _error(said)), Answer(500, _error(said)), page):
            fault = self.cloud.faults.add(Fault(effect, ".*/refs/branches"))
            await self.call("GET", "/branches/acme/site")
            self.cloud.faults.remove(fault)
        self.cloud.credentials.revoke_access_tokens()
        self.patch(chain, "MARGIN", 100_000.0)
        for effect in (page, Answer(500, _error(said)), Answer(200, said.encode(), HTML)):
            fault = self.cloud.faults.add(Fault(effect, TOKENS))
            for handle in self.handles()[:1]:
                await self.ask(handle)
            self.cloud.faults.remove(fault)

    async def is_looked_at(self) -> None:
        """By people, by a monitoring, and by programs."""
        ((build_id, delivery),) = self.rows("SELECT min(builds.id), min(deliveries.id) FROM builds, deliveries")
        singles = (f"builds/{build_id}", f"deliveries/{delivery}")
        for path in (
            "/readyz",
            "/metrics",
            "/",
            *(f"{at}/{each}" for at in ("", "/api") for each in (*LISTS, *singles)),
        ):
            assert (await self.call("GET", path)).status in (200, 503), path

    async def defects(self) -> None:
        """Errors that nobody expected, with secrets in their messages."""

        async def breaks(*_: Any, **__: Any) -> Any:
            raise ValueError(f"{self.access_token!r} {self.refresh_token} {FIXED} {PAIRS}")

        self.patch(chain, "MARGIN", 120.0)
        branches, start = Bitbucket.branches, ContainerManager.start
        self.patch(Bitbucket, "branches", breaks)
        self.patch(ContainerManager, "start", breaks)
        await self.call("GET", "/branches/acme/site")
        pull_request = self.repository.open_pull_request("Break it", "break", {"a": b"a"})
        await self.until(lambda: "step.failed" in self.log_text())
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE last_error != ''"))
        watch.search(self.folder)
        self.patch(Bitbucket, "branches", branches)
        self.patch(ContainerManager, "start", start)
        await self.built(pull_request)

    async def dies_and_is_set_up_again(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.cloud.faults.add(
            Fault(Answer(400, _error(f"refresh_token {self.refresh_token} is dead")), TOKENS, times=2)
        )
        for _ in range(3):
            await self.call("GET", "/branches/acme/site")
            await self.ask(self.stage.refresh_token)
        await self.leave(canary("client-secret-that-is-wrong"))
        sent = parse_qs(urlsplit(await self.leave(canary("client-secret-that-is-wrong"))).query)["state"][0]
        await self.browse("GET", f"/setup/callback?code=c4n4ry-code&state={sent}")
        stored = await self.set_up()
        assert stored.status == 303, stored
        await self.build()

    def log_text(self) -> str:
        return self.log_path.read_text()

    async def test_no_secret_is_heard(self) -> None:
        await self.live()
        assert self.flushLoggedErrors(ValueError)
        log = self.log_text()
        for event in ("step.failed", "http.failed", "credentials.dead", "setup.done", "http.forbidden", logs.HIDDEN):
            assert event in log, event
        assert [text[:60] for text in reprs() if songs(text)] == []


@pytest.mark.secret_in("asked POST /startbuild", "the settings say so")
class HandingOut(Canary):
    """With `handOut: token` a build has the real ones, and they come back in questions; nothing else may have them."""

    settings: ClassVar[dict[str, Any]] = {**Canary.settings, "handOut": "token"}


def _error(message: str) -> bytes:
    return b'{"error": "invalid_grant", "error_description": "%s"}' % message.replace('"', "'").encode()
