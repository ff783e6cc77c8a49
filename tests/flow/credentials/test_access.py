"""Credentials that are never renewed, while Bitbucket refuses them and after."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.credentials import AccessToken, ApiToken
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.credentials.access import PROBE, FixedAccess
from tests.immediate import run

NOTHING = cast(Any, None)  # what is known of these credentials is not in the store


@pytest.fixture
def access(clock: Clock) -> FixedAccess:
    return FixedAccess("acme", AccessToken("c4n4ry-T"), Budget(clock, 1000), clock)


def refuse(access: FixedAccess) -> None:
    authorization = run(access.authorization())
    with pytest.raises(DeadCredentials, match="answered 401"):
        run(access.refused(authorization))


def told(logged: list[LogEvent], name: str) -> list[tuple[str, Any]]:
    return [(event["account"], event["log_level"]) for event in logged if event.get("event") == name]


def test_refused_credentials_are_told_once_and_shown_again_once_in_a_while(
    access: FixedAccess, clock: Clock, logged: list[LogEvent]
) -> None:
    refuse(access)
    for _ in range(3):
        for ask in (access.authorization, access.access_token):
            with pytest.raises(DeadCredentials):
                run(ask())
        clock.advance(PROBE)
        refuse(access)
    assert told(logged, "credentials.dead") == [("acme", LogLevel.critical)]
    assert "access token" in access.trouble(NOTHING)


def test_one_caller_only_finds_out_whether_they_live_again(access: FixedAccess, clock: Clock) -> None:
    refuse(access)
    clock.advance(PROBE)
    assert run(access.authorization()) == "Bearer c4n4ry-T"
    with pytest.raises(DeadCredentials):
        run(access.authorization())


def test_credentials_that_bitbucket_takes_again_are_used_by_all_at_once(
    access: FixedAccess, clock: Clock, logged: list[LogEvent]
) -> None:
    refuse(access)
    clock.advance(PROBE)
    run(access.authorization())
    access.accepted()
    assert [run(access.access_token()) for _ in range(3)] == ["c4n4ry-T"] * 3
    assert (access.trouble(NOTHING), told(logged, "credentials.alive")) == ("", [("acme", LogLevel.info)])


def test_a_users_token_is_called_by_its_name(clock: Clock) -> None:
    access = FixedAccess("ada", ApiToken("ada@example.com", "c4n4ry-T"), Budget(clock, 1000), clock)
    refuse(access)
    assert access.trouble(NOTHING) == "Bitbucket answered 401 to the API token"
