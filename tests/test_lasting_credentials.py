"""Credentials that last, where a refresh token dies of its first use: many callers, restarts and crashes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast
from urllib.parse import quote

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from probo_bitbucket import upstream
from probo_bitbucket.flow.credentials import chain
from probo_bitbucket.sandbox.faults import HTML, Answer, Fault, LoseAnswer, Slow
from probo_bitbucket.sandbox.server import Recorded
from probo_bitbucket.sandbox.stage import KEY, SECRET
from probo_bitbucket.service import Handler
from tests.postgres import running_cluster
from tests.staged import Answered, StageTestCase

TOKENS = "/site/oauth2/access_token"
LOOKUPS = 1000
CALLERS = 32
LIFE = 0.5  # seconds for which an access token is given out
AWAY = (ConnectError, ConnectionDone, ConnectionLost, RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)


class Strict(StageTestCase):
    """A used refresh token is dead at once."""

    async def prepare(self) -> None:
        # A pair whose answer comes too late is lost for good where there is no grace: a busy machine must not do that.
        self.patch(upstream, "REQUEST_TIMEOUT", 30.0)
        self.cloud.add_consumer(KEY, SECRET, grace=0.0)
        self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)

    async def ask(self, port: int | None = None) -> Answered:
        """Ask the handler, or another one on *port*, with the refresh token that the chain began with."""
        url = self.stage.url if port is None else f"http://127.0.0.1:{port}"
        path = f"/auth_lookup?type=bitbucket&refreshToken={quote(self.stage.refresh_token, safe='')}"
        response = await self.client.get(url + path)
        return Answered(response.code, response.headers, await response.content())

    def alive(self, answer: Answered) -> bool:
        return answer.status == 200 and self.cloud.credentials.bearer(answer.json["access_token"]) is not None

    async def another(self) -> int:
        """The port of one more handler on the same store."""
        handler = Handler(attrs.evolve(self.stage.settings(), port=0), reactor)
        handler.privilegedStartService()
        handler.startService()
        self.addCleanup(handler.stopService)
        return handler.port

    def refreshes(self) -> int:
        return self.cloud.credentials.granted["refresh_token"]

    async def stored(self) -> None:
        """Wait until the pair of the first refresh is in the store."""
        await self.until(lambda: self.rows("SELECT 1 FROM chains WHERE access_token != ''"))


class Lookups(Strict):
    """Many callers, while access tokens are given out for LIFE only."""

    timeout = 120

    async def prepare(self) -> None:
        await super().prepare()
        self.patch(chain, "MARGIN", self.cloud.credentials.expires_in - LIFE)
        self.cloud.faults.add(Fault(Slow(0.05), TOKENS))  # long enough for all callers to meet in it
        self.given: list[str] = []
        self.asked_at: list[tuple[float, float]] = []
        self.cloud.server.on_answer = self._note

    def _note(self, request: Recorded) -> None:
        if request.path == TOKENS:
            self.asked_at.append((request.time, self.cloud.clock.seconds()))

    async def look_up(self, numbers: Iterator[int]) -> None:
        for _ in numbers:
            answer = await self.answered()
            assert self.alive(answer), answer
            self.given.append(answer.json["access_token"])

    async def answered(self) -> Answered:
        """What the handler answers, asked again while it is away."""
        while True:
            try:
                return await self.ask()
            except AWAY:
                await deferLater(cast(IReactorTime, reactor), 0.05)

    def all(self) -> Deferred[Any]:
        numbers = iter(range(LOOKUPS))
        callers = [Deferred.fromCoroutine(self.look_up(numbers)) for _ in range(CALLERS)]
        return gatherResults(callers, consumeErrors=True)


class ManyLookups(Lookups):
    async def restart_in_the_middle(self) -> None:
        await self.until(lambda: len(self.given) >= LOOKUPS / 2)
        await self.stage.stop_handler()
        self.stage.start_handler()

    async def test_1000_lookups_of_32_callers_with_a_restart_cost_no_refresh_too_many(self) -> None:
        await gatherResults([self.all(), Deferred.fromCoroutine(self.restart_in_the_middle())], consumeErrors=True)
        assert len(self.given) == LOOKUPS
        refreshes = self.refreshes()
        assert refreshes > 2
        assert len(self.asked_at) == refreshes  # none was refused
        # The next one begins when the last token's life is over, so there are never two at once.
        for (_, end), (begin, _) in pairwise(self.asked_at):
            assert begin - end > LIFE - 0.01


class TwoNodes(Lookups):
    """Two daemons on one PostgreSQL."""

    async def prepare(self) -> None:
        await super().prepare()
        cluster = running_cluster()
        database = (await deferToThread(next, cluster)).new_database()
        self.addCleanup(lambda: deferToThread(next, cluster, None))
        self.stage._given["database"] = database

    async def answered(self) -> Answered:
        """What the two answer in turns."""
        self.ports.rotate()
        return await self.ask(self.ports[0])

    async def test_one_of_them_refreshes_at_a_time_and_both_go_on_with_the_result(self) -> None:
        self.ports = deque([self.handler.port, await self.another()])
        await self.all()
        assert len(self.given) == LOOKUPS
        assert len(self.asked_at) == self.refreshes() > 2  # none was refused, which a spent token would be
        for (_, end), (begin, _) in pairwise(self.asked_at):
            assert begin > end


class Crash(Strict):
    """The first process is left alone, as it is, and another one begins on its store."""

    async def another(self) -> int:
        self.handler._foundation.let_go()  # as the system does for a process that is no more
        return await super().another()

    async def test_a_pair_that_was_stored_and_never_used_is_the_one_to_go_on_with(self) -> None:
        await self.stored()
        answer = await self.ask(await self.another())
        assert self.alive(answer)
        assert self.refreshes() == 1

    async def test_after_its_end_the_stored_successor_is_refreshed_and_not_the_token_of_the_settings(self) -> None:
        await self.stored()
        self.cloud.credentials.revoke_access_tokens()
        self.patch(chain, "MARGIN", 10_000.0)
        answer = await self.ask(await self.another())
        assert self.alive(answer)
        assert self.refreshes() == 2

    async def test_a_pair_whose_answer_was_lost_is_asked_for_again_while_the_old_token_lives(self) -> None:
        await self.stage.stop_handler()
        self.cloud.add_consumer(KEY, SECRET)  # with Bitbucket's ten minutes
        self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)
        self.cloud.faults.add(Fault(LoseAnswer(), TOKENS, times=1))
        before = self.refreshes()
        self.stage.start_handler()
        assert self.alive(await self.ask())
        assert self.refreshes() == before + 2


class Shared(Strict):
    """The settings have two tokens of one chain, each for an account of its own."""

    async def prepare(self) -> None:
        await super().prepare()
        self.oldest = self.stage.refresh_token

    async def share(self) -> None:
        """Give the newest token to the top level, and the oldest one to another account."""
        await self.stored()
        await self.stage.stop_handler()
        ((newest,),) = self.rows("SELECT refresh_token FROM chains")
        consumer = {"bbClientKey": KEY, "bbClientSecret": SECRET, "bbRefreshToken": self.oldest}
        self.stage._given["accounts"] = [{"name": "globex", "repositories": "globex/*", **consumer}]
        self.stage.refresh_token = newest
        self.cloud.add_repository("globex/shop")
        self.stage.start_handler()

    async def test_it_is_refreshed_once_at_a_time(self) -> None:
        await self.share()
        self.patch(chain, "MARGIN", 100_000.0)  # each question takes a token of its own
        self.cloud.faults.add(Fault(Slow(0.05), TOKENS))
        paths = ["/branches/acme/site", "/branches/globex/shop"] * 2
        answers = await gatherResults([Deferred.fromCoroutine(self.call("GET", path)) for path in paths])
        assert [answer.status for answer in answers] == [200] * 4
        assert {each.status for each in self.asked(TOKENS, "POST")} == {200}

    async def test_it_is_told(self) -> None:
        with capturedLogs() as events:
            await self.share()
            await self.until(lambda: any(event.get("event") == "credentials.shared" for event in events))
        [event] = [event for event in events if event.get("event") == "credentials.shared"]
        assert event["account"] == "globex, default"
        verdicts = (await self.call("POST", "/api/check")).json["verdicts"]
        [said] = [each for each in verdicts if "one chain" in each["what"]]
        assert (said["subject"], said["grade"]) == ("credentials globex, default", "warning")


class Forms(Strict):
    """What an answer of the token endpoint may look like."""

    async def begin_with(self, **cloud: Any) -> None:
        await self.stage.stop_handler()
        self.cloud.credentials.token_length = cloud.get("token_length", 2600)
        self.cloud.scope_field = cloud.get("scope_field", "scopes")
        self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)
        self.stage.start_handler()

    async def test_tokens_of_4000_characters_go_the_whole_way(self) -> None:
        await self.begin_with(token_length=4000)
        answer = await self.ask()
        assert self.alive(answer)
        assert len(answer.json["access_token"]) == len(self.stage.refresh_token) == 4000
        assert set((await self.built(self.repository.open_pull_request())).values()) == {"SUCCESSFUL"}

    async def test_both_names_of_the_scopes_are_known(self) -> None:
        for name in ("scope", "scopes"):
            await self.begin_with(scope_field=name)
            assert self.alive(await self.ask()), name

    async def test_pages_in_place_of_answers_spend_no_token(self) -> None:
        for status in (200, 502, 503):
            await self.stage.stop_handler()
            self.cloud.faults.add(Fault(Answer(status, b"<html>Oops</html>", HTML), TOKENS, times=2))
            self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)
            self.stage.start_handler()
            assert self.alive(await self.ask()), status


class Reaper(Strict):
    async def test_an_older_member_of_the_chain_is_known_there_too(self) -> None:
        self.unannounced()
        assert self.alive(await self.ask())  # the token that it began with is dead now
        token = quote(self.stage.refresh_token, safe="")
        answer = await self.call("GET", f"/pull-request/acme/site/1?refreshToken={token}")
        assert (answer.status, answer.json["state"]) == (200, "open")


class Shifted:
    """The reactor's clock, *seconds* ahead."""

    def __init__(self, seconds: float) -> None:
        self._ahead = seconds

    def seconds(self) -> float:
        return cast(IReactorTime, reactor).seconds() + self._ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class BitbucketsClock(Strict):
    """Bitbucket's clock and ours need not agree."""

    async def check(self, ahead: float) -> None:
        await self.stage.stop_handler()
        self.cloud.clock = self.cloud.credentials._clock = cast(IReactorTime, Shifted(ahead))
        self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)
        before = self.refreshes()
        self.stage.start_handler()
        states = await self.built(self.repository.open_pull_request("Shift", f"shift{ahead}", {"a": b"a"}))
        assert set(states.values()) == {"SUCCESSFUL"}
        for _ in range(3):
            assert self.alive(await self.ask())
        assert self.refreshes() == before + 1

    async def test_ours_is_ten_minutes_slow(self) -> None:
        await self.check(600.0)

    async def test_ours_is_ten_minutes_fast(self) -> None:
        await self.check(-600.0)
