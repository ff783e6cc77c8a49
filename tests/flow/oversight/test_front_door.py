"""What the public URL answers to us tells what is wrong with it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.flow.deliveries.signatures import Signatures
from probo_bitbucket.flow.oversight.front_door import FrontDoor
from probo_bitbucket.upstream import Upstream
from tests.immediate import ImmediateStore, run
from tests.wire import Wire

URL = "https://probo.example.com/bitbucket-webhook"


def tried(store: ImmediateStore, wire: Wire, clock: Clock, url: str = URL) -> tuple[str, str, str]:
    signatures = Signatures(("c4n4ry-swordfish",), store, clock)
    verdict = run(FrontDoor(Upstream("the public URL", wire.client, clock), store, signatures, clock, url).try_it())
    return verdict.grade, verdict.what, verdict.advice


@pytest.mark.parametrize(
    ("status", "grade", "what", "advice"),
    [
        (401, "wrong", "answers 401: it refuses our signature", "another daemon is there"),
        (403, "warning", "answers 403: it refuses this machine", "try hooks test"),
        (404, "wrong", "answers 404: it does not know the path", "compare publicUrl and bbWebhookUrl"),
        (502, "wrong", "answers 502: it is a proxy that does not reach the daemon", "correct the address"),
        (500, "wrong", "answers 500: it is not what it should be", "let it, or the proxy there"),
    ],
)
def test_an_answer_is_told_in_words(
    store: ImmediateStore, clock: Clock, status: int, grade: str, what: str, advice: str
) -> None:
    wire = Wire()
    wire.say(status)
    told = tried(store, wire, clock)
    assert told[0] == grade
    assert what in told[1]
    assert advice in told[2]


def test_a_redirect_is_told_with_where_it_leads(store: ImmediateStore, clock: Clock) -> None:
    wire = Wire()
    wire.say(301, location="https://www.example.com/")
    assert tried(store, wire, clock)[1] == f"{URL} redirects to https://www.example.com/"


def test_a_stranger_that_answers_200_is_not_taken_for_us(store: ImmediateStore, clock: Clock) -> None:
    wire = Wire()
    wire.say(200, {"ok": True})
    grade, what, _ = tried(store, wire, clock)
    assert (grade, what) == ("wrong", f"{URL} answers, but it is not this daemon")
    assert wire.asked[0].headers["x-hub-signature"] == [sign("c4n4ry-swordfish", wire.asked[0].body)]


def test_without_a_public_url_the_setting_is_named(store: ImmediateStore, clock: Clock) -> None:
    assert tried(store, Wire(), clock, "")[2].startswith("set publicUrl")
