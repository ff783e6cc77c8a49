"""Other settings for a daemon that goes on: they count at once, nothing is dropped, and what cannot be is refused."""

from __future__ import annotations

import socket
import ssl
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from probo_bitbucket.sandbox.faults import Answer, Fault, Slow
from probo_bitbucket.sandbox.hooks import sign
from probo_bitbucket.sandbox.stage import HOOK_SECRET, KEY, SECRET
from probo_bitbucket.web.doors import CannotListen
from tests.canaries import canary
from tests.staged import StageTestCase
from tests.web.certificates import write_certificates
from tests.web.hostile import EVENT, pull_request
from tests.web.wire import Wire, connect, status

TOKENS = "/site/oauth2/access_token"
BODY = pull_request()
CALLERS = 8
RELOADS = 5


def delivery(secret: str) -> bytes:
    """A delivery on a connection that stays open."""
    head = b"POST /bitbucket-webhook HTTP/1.1\r\nHost: x\r\n" + EVENT
    return head + b"X-Hub-Signature: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        sign(BODY, secret).encode(),
        len(BODY),
        BODY,
    )


def hang_up(wire: Wire) -> None:
    assert wire.transport is not None
    wire.transport.loseConnection()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


class ReloadTestCase(StageTestCase):
    async def prepare(self) -> None:
        await self.stage.reload(port=free_port())  # settings that say 0 would be others than those with the port

    async def answered(self, wire: Wire, request: bytes) -> int:
        """The status of the answer to *request*, on a connection that stays open after it."""
        wire.received = b""
        wire.send(request)
        await self.until(lambda: wire.received.endswith(b"}") or wire.closed.called)
        return status(wire.received)


class Reload(ReloadTestCase):
    async def test_no_request_is_dropped_while_settings_change_again_and_again(self) -> None:
        answers: list[int] = []
        going_on = True

        async def call() -> None:
            wire = await connect(self.handler.port)
            while going_on and not wire.closed.called:
                answers.append(await self.answered(wire, delivery(HOOK_SECRET)))
            hang_up(wire)

        async def connect_anew() -> None:
            while going_on:
                answers.append((await self.call("GET", "/healthz")).status)

        callers = [Deferred.fromCoroutine(each()) for each in (call, connect_anew) * CALLERS]
        for number in range(RELOADS):
            enough = len(answers) + 2 * CALLERS
            await self.stage.reload(instanceName=f"Name{number}")
            await self.until(lambda enough=enough: len(answers) > enough)
        going_on = False
        await gatherResults(callers)
        assert set(answers) == {200}
        assert self.rows("SELECT count(*) FROM deliveries")[0][0] > CALLERS * RELOADS / 2

    async def test_a_request_that_waits_is_answered_by_what_it_came_to(self) -> None:
        self.cloud.credentials.expires_in = 1  # the token that there is is too old
        fault = self.cloud.faults.add(Fault(Slow(0.3), TOKENS))
        before = len(self.asked(TOKENS, "POST"))
        waiting = Deferred.fromCoroutine(self.call("GET", f"/auth_lookup?refreshToken={self.stage.refresh_token}"))
        await self.until(lambda: len(self.asked(TOKENS, "POST")) > before)
        await self.stage.reload(instanceName="Other")
        assert not waiting.called
        self.cloud.faults.remove(fault)
        assert (await waiting).status == 200

    async def test_work_in_hand_is_done_once(self) -> None:
        self.container_manager.faults.add(Fault(Slow(0.3), "/startbuild", times=1))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.posted("/startbuild"))
        await self.stage.reload(rateLimit=500)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        assert list(self.container_manager.started.values()) == [1]

    async def test_no_lease_of_the_former_parts_stays(self) -> None:
        self.container_manager.faults.add(Fault(Slow(0.2), "/startbuild", times=1))
        self.repository.open_pull_request()
        await self.until(lambda: self.posted("/startbuild"))
        former = self.handler._parts.node
        await self.stage.reload(rateLimit=500)
        await self.until(lambda: not self.handler._retiring)
        assert self.rows(f"SELECT * FROM builds WHERE leased_by = '{former}'") == []  # noqa: S608

    async def test_a_new_webhook_secret_counts_at_once_on_connections_that_are_open_too(self) -> None:
        wire = await connect(self.handler.port)
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 200
        await self.stage.reload(bbWebhookSecret="c4n4ry-another")
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 401
        assert await self.answered(wire, delivery("c4n4ry-another")) == 200
        assert self.measured("log_events", event="delivery.refused") == 1
        hang_up(wire)

    async def test_another_door_is_opened_and_the_former_closed_with_its_connections(self) -> None:
        wire = await connect(former := self.handler.port)
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 200
        await self.stage.reload(port=free_port())
        other = await connect(self.handler.port)
        assert self.handler.port != former
        assert await self.answered(other, delivery(HOOK_SECRET)) == 200
        await wire.closed
        with pytest.raises(ConnectionRefusedError), closing(socket.create_connection(("127.0.0.1", former))):
            pass
        hang_up(other)

    async def test_a_former_door_lets_nobody_in_any_more_while_work_of_its_time_ends(self) -> None:
        wire = await connect(self.handler.port)
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 200
        self.container_manager.faults.add(Fault(Slow(0.5), "/startbuild"))
        self.repository.open_pull_request()
        await self.until(lambda: self.posted("/startbuild"))
        await self.stage.reload(port=free_port())
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 503
        await wire.closed

    async def test_internal_routes_move_to_a_door_of_their_own(self) -> None:
        assert (await self.call("GET", "/healthz")).status == 200
        inner = free_port()
        await self.stage.reload(internalListen=f"tcp:{inner}:interface=127.0.0.1")
        assert (await self.call("GET", "/healthz")).status == 403
        assert (await self.client.get(f"http://127.0.0.1:{inner}/healthz")).code == 200

    async def test_a_door_that_cannot_be_opened_changes_nothing(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            listen = [f"tcp:{port}:interface=127.0.0.1" for port in (free_port(), taken.getsockname()[1])]
            with pytest.raises(CannotListen, match="Address already in use"):
                await self.stage.reload(listen=listen, bbWebhookSecret="c4n4ry-another")
        wire = await connect(self.handler.port)
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(listen[0].split(":")[1])))
        hang_up(wire)

    async def test_the_database_stays_until_a_restart(self) -> None:
        with capturedLogs() as events:
            await self.stage.reload(database=f"sqlite:///{self.folder}/other.db")
        assert [event["event"] for event in events if "event" in event][:1] == ["settings.postponed"]
        assert set((await self.built(self.repository.open_pull_request())).values()) == {"SUCCESSFUL"}
        assert not (self.folder / "other.db").exists()

    async def test_a_stop_right_after_a_reload_waits_for_former_work_too(self) -> None:
        self.container_manager.faults.add(Fault(Slow(0.3), "/startbuild", times=1))
        self.repository.open_pull_request()
        await self.until(lambda: self.posted("/startbuild"))
        await self.stage.reload(rateLimit=500)
        await self.stage.stop_handler()
        assert self.rows("SELECT state, leased_by FROM builds") == [("running", "")]

    async def test_a_stop_hangs_up_on_who_is_connected_and_asks_nothing(self) -> None:
        wire = await connect(self.handler.port)
        assert await self.answered(wire, delivery(HOOK_SECRET)) == 200
        await self.stage.stop_handler()
        await wire.closed

    async def test_a_reload_that_comes_after_the_stop_does_nothing(self) -> None:
        handler = self.handler
        await self.stage.stop_handler()
        await handler.reload(self.stage.settings())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(self.stage.url.rpartition(":")[2])))


class Renewed(ReloadTestCase):
    """The certificate of an `ssl:` endpoint, which is replaced every few weeks."""

    async def prepare(self) -> None:
        self.certificates = Path(tempfile.mkdtemp(dir=self.folder))
        _, key, certificate = write_certificates(self.certificates)
        endpoint = f"ssl:{free_port()}:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
        await self.stage.reload(listen=endpoint)

    async def shown(self) -> str:
        """The certificate that a new connection gets."""
        found: str = await deferToThread(ssl.get_server_certificate, ("127.0.0.1", self.handler.port), timeout=10)
        return found

    async def test_it_is_shown_after_a_reload_by_the_same_port(self) -> None:
        former, port = await self.shown(), self.handler._open[0].port
        write_certificates(self.certificates)
        assert await self.shown() == former
        await self.stage.reload()
        assert await self.shown() == (self.certificates / "cert.pem").read_text() != former
        assert self.handler._open[0].port is port

    async def test_one_that_does_not_fit_to_its_key_is_refused_and_the_former_goes_on(self) -> None:
        former = await self.shown()
        key = (self.certificates / "key.pem").read_bytes()
        write_certificates(self.certificates)
        (self.certificates / "key.pem").write_bytes(key)
        with pytest.raises(CannotListen, match="setting `listen`"):
            await self.stage.reload(instanceName="Other")
        assert await self.shown() == former
        assert self.handler.settings.instance_name == "ProboCI"


class DeadCredentials(ReloadTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbRefreshToken": canary("spent-long-ago")}

    async def test_work_that_waited_for_credentials_is_done_with_the_new_ones(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT 1 FROM chains WHERE dead != ''"))
        assert (await self.call("GET", "/readyz")).status == 503
        await self.stage.reload(bbRefreshToken=self.cloud.credentials.issue_refresh_token(KEY))
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        assert (await self.call("GET", "/readyz")).status == 200


class WrongSecret(ReloadTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbClientSecret": canary("mistyped")}

    async def test_the_same_refresh_token_is_tried_again_with_the_right_secret(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT 1 FROM chains WHERE dead != ''"))
        await self.stage.reload(bbClientSecret=SECRET)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}


class AnotherContainerManager(ReloadTestCase):
    async def test_what_waited_for_the_former_one_goes_to_the_new_one_at_once(self) -> None:
        self.container_manager.faults.add(Fault(Answer(503, headers={"Retry-After": "3600"}), "/startbuild", times=1))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE due_at > 0"))
        await self.stage.reload(api={"url": self.container_manager.url})
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
