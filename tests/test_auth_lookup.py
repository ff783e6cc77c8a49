"""`GET /auth_lookup`: always a JSON object, whatever Bitbucket does."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from twisted.internet.defer import Deferred, gatherResults

from probo_bitbucket.flow.builds import lookup
from probo_bitbucket.flow.credentials import chain
from probo_bitbucket.sandbox.faults import HTML, Answer, Cut, Effect, Fault, Hang, Slow, Truncated
from tests.staged import Answered, StageTestCase

TOKENS = "/site/oauth2/access_token"


class AuthLookup(StageTestCase):
    async def ask(self, token: str | None = None) -> Answered:
        given = self.stage.refresh_token if token is None else token
        return await self.call("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(given, safe='')}")

    def refreshes(self) -> int:
        return self.cloud.credentials.granted["refresh_token"]

    async def at_rest(self) -> None:
        """Wait until the refresh is through with which the handler begins."""
        await self.until(self.refreshes)
        await self.until(lambda: self.rows("SELECT 1 FROM chains WHERE access_token != ''"))

    def bearer(self, answer: Answered) -> Any:
        return self.cloud.credentials.bearer(answer.json["access_token"])

    async def test_the_refresh_token_of_the_settings_gets_a_token_that_lives(self) -> None:
        answer = await self.ask()
        assert answer.status == 200
        assert self.bearer(answer) is not None

    async def test_a_missing_refresh_token_is_refused_in_the_words_of_the_node_handlers(self) -> None:
        for query in ("", "?type=bitbucket", "?refreshToken="):
            answer = await self.call("GET", f"/auth_lookup{query}")
            assert (answer.status, answer.json) == (400, {"error": "Missing required query param: refreshToken"})

    async def test_a_refresh_token_that_is_not_ours_is_refused(self) -> None:
        for token in ("RT0", "undefined", "probo-bitbucket.default.id.0000", "'; --", "probo-bitbucket...", "%00"):
            assert (await self.ask(token)).status == 403

    async def test_a_handle_of_a_build_gets_a_token_and_one_that_was_changed_does_not(self) -> None:
        await self.built(self.repository.open_pull_request())
        (document,) = self.started()
        handle = document["project"]["service_auth"]["refreshToken"]
        assert (await self.ask(handle)).status == 200
        changed = handle.replace(document["build"]["id"], "00000000-0000-0000-0000-000000000000")
        assert (await self.ask(changed)).status == 403
        assert (await self.ask(handle[:-1])).status == 403

    async def test_no_answer_of_ours_and_nothing_that_the_container_manager_gets_has_a_refresh_token(self) -> None:
        await self.built(self.repository.open_pull_request())
        ((newest,),) = self.rows("SELECT refresh_token FROM chains")
        (document,) = self.started()
        told = json.dumps([document, (await self.ask()).json])
        assert newest not in told
        assert self.stage.refresh_token not in told

    async def test_an_older_token_of_the_chain_is_still_ours(self) -> None:
        await self.at_rest()
        ((newest,),) = self.rows("SELECT refresh_token FROM chains")
        assert newest != self.stage.refresh_token
        assert (await self.ask()).json == (await self.ask(newest)).json

    async def test_many_callers_at_once_cost_one_refresh_and_get_the_same_token(self) -> None:
        self.cloud.server.answer_after = 0.1
        answers = await gatherResults(Deferred.fromCoroutine(self.ask()) for _ in range(32))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert self.refreshes() == 1

    async def test_a_token_with_life_left_is_used_again(self) -> None:
        first = await self.ask()
        assert (await self.ask()).json == first.json
        await self.built(self.repository.open_pull_request())
        assert self.refreshes() == 1

    async def test_a_token_that_is_about_to_die_is_not_given_out(self) -> None:
        await self.at_rest()
        self.patch(chain, "MARGIN", 100_000.0)
        first, second = await self.ask(), await self.ask()
        assert first.json["access_token"] != second.json["access_token"]

    async def test_a_401_is_answered_by_one_refresh_and_one_retry(self) -> None:
        await self.at_rest()
        self.cloud.credentials.revoke_access_tokens()
        answer = await self.call("GET", "/branches/acme/site")
        assert answer.status == 200
        assert self.refreshes() == 2
        assert [each.status for each in self.asked("/refs/branches")] == [401, 200]

    async def test_a_401_that_does_not_pass_is_not_retried_for_ever(self) -> None:
        await self.at_rest()
        self.cloud.faults.add(Fault(Answer(401), ".*/refs/branches"))
        assert (await self.call("GET", "/branches/acme/site")).status == 503
        assert len(self.asked("/refs/branches")) == 2

    async def test_a_passing_trouble_of_the_token_endpoint_is_waited_for(self) -> None:
        troubles: tuple[Effect, ...] = (
            Answer(500),
            Answer(200, b"<html>Oops</html>", HTML),
            Answer(200, b"null"),
            Answer(200, b"{}"),
            Answer(429),
            Truncated(),
            Cut(),
            Hang(),
        )
        for trouble in troubles:
            self.cloud.faults.add(Fault(trouble, TOKENS, times=1))
        answer = await self.ask()
        assert answer.status == 200
        assert self.bearer(answer) is not None

    async def test_a_trouble_that_lasts_is_answered_503_with_a_json_object_that_names_it(self) -> None:
        self.patch(lookup, "PATIENCE", 0.2)
        lasting: tuple[tuple[Effect, str], ...] = (
            (Answer(500), "answered 500"),
            (Answer(200, b"<html>Oops</html>", HTML), "not JSON"),
            (Answer(302, b"", {"Location": "https://example.com/"}), "302"),
            (Answer(204), "not JSON"),
            (Hang(), "did not answer"),
        )
        await self.stage.stop_handler()
        for trouble, words in lasting:
            self.cloud.credentials.revoke_access_tokens()
            fault = self.cloud.faults.add(Fault(trouble, TOKENS))
            self.forget_tokens()
            self.stage.start_handler()
            answer = await self.ask()
            assert answer.status == 503, trouble
            assert words in answer.json["error"]
            self.cloud.faults.remove(fault)
            await self.stage.stop_handler()

    def forget_tokens(self) -> None:
        for path in self.folder.glob("probo-bitbucket.db*"):
            path.unlink()

    async def test_an_author_is_told_why_there_is_no_token_for_the_download(self) -> None:
        self.patch(lookup, "PATIENCE", 0.1)
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        handle = self.started()[0]["project"]["service_auth"]["refreshToken"]
        self.cloud.faults.add(Fault(Answer(500), TOKENS, times=20))
        margin = chain.MARGIN
        self.patch(chain, "MARGIN", 100_000.0)
        assert (await self.ask(handle)).status == 503
        self.patch(chain, "MARGIN", margin)
        await self.until(lambda: self.states(pull_request).get("ProboCI/env") == "FAILED")
        told = {status.key: status.description for status in pull_request.shown()}["ProboCI/env"]
        assert "No access token for the download: Bitbucket's token endpoint answered 500" in told

    async def test_dead_credentials_are_told_at_once_and_do_not_end_the_process(self) -> None:
        await self.at_rest()
        self.cloud.credentials.revoke_refresh_tokens()
        self.patch(chain, "MARGIN", 100_000.0)
        for _ in range(3):
            answer = await self.ask()
            assert answer.status == 503
            assert "invalid" in answer.json["error"]

    async def test_no_caller_who_hangs_up_takes_the_refresh_from_the_others(self) -> None:
        await self.at_rest()
        self.patch(chain, "MARGIN", 100_000.0)
        self.cloud.faults.add(Fault(Slow(0.1), TOKENS))
        path = f"/auth_lookup?refreshToken={quote(self.stage.refresh_token, safe='')}"
        hanging_up = Deferred.fromCoroutine(self.hang_up_after(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
        answer = await self.ask()
        await hanging_up
        assert answer.status == 200


@pytest.mark.secret_in("asked POST /startbuild", "the settings say so")
class HandingOutTokens(StageTestCase):
    """`handOut: token`, for those who need the real one."""

    settings: ClassVar[dict[str, Any]] = {"handOut": "token"}

    async def test_the_real_token_leaves_the_house_with_the_build_and_in_no_answer(self) -> None:
        await self.built(self.repository.open_pull_request())
        ((newest,),) = self.rows("SELECT refresh_token FROM chains")
        (document,) = self.started()
        assert document["project"]["service_auth"]["refreshToken"] == newest
        answer = await self.call("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(newest, safe='')}")
        assert set(answer.json) == {"access_token", "token_type"}
        assert newest not in answer.body.decode()


@pytest.mark.secret_in("asked POST /startbuild", "the settings say so")
class HandingOutTokensOfAConsumerAlone(StageTestCase):
    """`handOut: token` where there is no refresh token: the consumer asks in its own name."""

    settings: ClassVar[dict[str, Any]] = {"handOut": "token", "bbRefreshToken": ""}

    async def test_what_leaves_with_the_build_is_answered_with_a_token(self) -> None:
        assert set((await self.built(self.repository.open_pull_request())).values()) == {"SUCCESSFUL"}
        ((newest,),) = self.rows("SELECT access_token FROM chains")
        (document,) = self.started()
        auth = document["project"]["service_auth"]
        assert auth["token"] == newest
        answer = await self.call("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(auth['refreshToken'])}")
        assert (answer.status, answer.json["access_token"]) == (200, newest)
