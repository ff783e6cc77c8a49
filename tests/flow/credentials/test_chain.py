"""The chain of an OAuth consumer's tokens."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel

from probo_bitbucket.errors import DeadCredentials, Temporary
from probo_bitbucket.flow.credentials.chain import DEAD_PAUSE, MARGIN, PAUSE, YOUNG, TokenChain
from probo_bitbucket.store import Lease, Transaction, credentials, schema
from probo_bitbucket.store.credentials import LOCK, Chain
from tests.flow.credentials.chains import HOUR, Endpoint, chain_of
from tests.immediate import ImmediateStore, result_of, run, start

DAY = 24 * HOUR


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def chain(endpoint: Endpoint, store: ImmediateStore, clock: Clock) -> TokenChain:
    return chain_of(endpoint, store, clock)


def renewed(chain: TokenChain, endpoint: Endpoint, access: str = "c4n4ry-A1", refresh: str = "c4n4ry-R1") -> None:
    """Have *chain* get its first pair."""
    asking = start(chain.access_token())
    endpoint.grant(access, refresh)
    assert result_of(asking) == access


def stored(store: ImmediateStore) -> Chain:
    found = store.now(credentials.held, "default")
    assert found is not None
    return found


def deaths(logged: list[LogEvent]) -> list[Any]:
    return [event for event in logged if event.get("event") == "credentials.dead"]


def test_32_callers_make_one_refresh(chain: TokenChain, endpoint: Endpoint) -> None:
    callers = [start(chain.authorization()) for _ in range(32)]
    assert endpoint.shown == ["c4n4ry-R0"]
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert {result_of(caller) for caller in callers} == {"Bearer c4n4ry-A1"}


def test_a_caller_who_hangs_up_takes_nothing_from_the_others(chain: TokenChain, endpoint: Endpoint) -> None:
    first, second = start(chain.access_token()), start(chain.access_token())
    first.cancel()
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert result_of(second) == "c4n4ry-A1"
    with pytest.raises(CancelledError):
        result_of(first)


def test_a_failure_reaches_all_callers_and_the_next_one_asks_anew(chain: TokenChain, endpoint: Endpoint) -> None:
    callers = [start(chain.access_token()) for _ in range(3)]
    endpoint.refuse(Temporary("503"))
    for caller in callers:
        with pytest.raises(Temporary, match="503"):
            result_of(caller)
    renewed(chain, endpoint)
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R0"]


def test_a_token_is_used_until_its_margin_and_no_longer(chain: TokenChain, endpoint: Endpoint, clock: Clock) -> None:
    renewed(chain, endpoint)
    clock.advance(2 * HOUR - MARGIN - 1)
    assert run(chain.access_token()) == "c4n4ry-A1"
    clock.advance(1)
    asking = start(chain.access_token())
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]
    endpoint.grant("c4n4ry-A2", "c4n4ry-R2")
    assert result_of(asking) == "c4n4ry-A2"


def test_a_pair_is_stored_before_it_is_used(chain: TokenChain, endpoint: Endpoint, store: ImmediateStore) -> None:
    seen: list[str] = []
    asking = start(chain.access_token()).addCallback(lambda _: seen.append(stored(store).refresh_token))
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    result_of(asking)
    assert seen == ["c4n4ry-R1"]


def test_a_pair_waits_for_a_store_that_is_away(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    asking = start(chain.access_token())
    store.down = True
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    clock.pump([PAUSE] * 10)
    assert not asking.called
    store.down = False
    clock.advance(PAUSE)
    assert result_of(asking) == "c4n4ry-A1"
    assert stored(store).refresh_token == "c4n4ry-R1"
    assert endpoint.shown == ["c4n4ry-R0"]
    assert [event["log_level"] for event in logged if event.get("event") == "credentials.unstored"] == [
        LogLevel.warn
    ] * 11


def test_a_process_that_died_after_the_refresh_goes_on_with_the_newest_pair(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    renewed(chain, endpoint)
    again = chain_of(endpoint, store, clock, "c4n4ry-R0", node="after the crash")
    assert run(again.access_token()) == "c4n4ry-A1"
    clock.advance(3 * HOUR)
    start(again.access_token())
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]


def test_a_process_that_died_in_the_refresh_leaves_its_lock_for_a_lease(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    start(chain.access_token())
    again = Endpoint()
    asking = start(chain_of(again, store, clock, node="after the crash").access_token())
    clock.pump([PAUSE] * int(LOCK / PAUSE - 1))
    assert again.shown == []
    clock.advance(PAUSE)
    again.grant("c4n4ry-A1", "c4n4ry-R1")
    assert result_of(asking) == "c4n4ry-A1"


def test_another_nodes_refresh_is_waited_for_and_used(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    here = start(chain.access_token())
    elsewhere = Endpoint()
    there = start(chain_of(elsewhere, store, clock, node="other").access_token())
    clock.advance(PAUSE)
    assert not there.called
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert result_of(here) == "c4n4ry-A1"
    clock.advance(PAUSE)
    assert result_of(there) == "c4n4ry-A1"
    assert elsewhere.shown == []


def test_the_lock_is_given_back_whatever_happens(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    for error in (Temporary("503"), DeadCredentials("revoked"), ZeroDivisionError()):
        asking = start(chain_of(endpoint, store, clock).access_token())
        endpoint.refuse(error)
        with pytest.raises(type(error)):
            result_of(asking)
        locked = store.now(credentials.lock, credentials.digest("c4n4ry-R0"), Lease("other", clock.seconds()))
        assert locked is not None
        store.now(credentials.unlock, locked)


def test_a_store_that_is_away_fails_the_caller_and_spends_no_token(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore
) -> None:
    store.down = True
    with pytest.raises(Exception, match="disk full"):
        run(chain.access_token())
    store.down = False
    assert endpoint.shown == []
    renewed(chain, endpoint)


def test_a_token_that_bitbucket_refuses_is_replaced(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    renewed(chain, endpoint)
    assert run(chain.refused("Bearer c4n4ry-A1")) is True
    start(chain.access_token())
    start(chain_of(endpoint, store, clock, node="other").access_token())
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]


def test_a_token_that_is_replaced_already_is_not_replaced_again(chain: TokenChain, endpoint: Endpoint) -> None:
    renewed(chain, endpoint)
    run(chain.refused("Bearer c4n4ry-A0"))
    assert run(chain.access_token()) == "c4n4ry-A1"


def dead(chain: TokenChain, endpoint: Endpoint) -> None:
    asking = start(chain.access_token())
    endpoint.refuse(DeadCredentials("no token for the grant refresh_token: 400"))
    with pytest.raises(DeadCredentials):
        result_of(asking)


def test_dead_credentials_are_told_once_and_cause_no_storm(
    chain: TokenChain, endpoint: Endpoint, clock: Clock, logged: list[LogEvent]
) -> None:
    dead(chain, endpoint)
    for _ in range(100):
        with pytest.raises(DeadCredentials, match="400"):
            run(chain.access_token())
    assert endpoint.shown == ["c4n4ry-R0"]
    clock.advance(DEAD_PAUSE)
    dead(chain, endpoint)
    [event] = deaths(logged)
    assert (event["log_level"], event["account"]) == (LogLevel.critical, "default")


def test_credentials_that_come_back_to_life_are_used_again(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    dead(chain, endpoint)
    assert stored(store).dead
    clock.advance(DEAD_PAUSE)
    renewed(chain, endpoint)
    assert stored(store).dead == ""


def test_a_new_chain_in_the_store_revives_the_account_at_once(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    dead(chain, endpoint)
    again = chain_of(endpoint, store, clock, "c4n4ry-N0")
    renewed(again, endpoint, "c4n4ry-A1", "c4n4ry-N1")
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-N0"]
    assert stored(store).dead == ""


def test_dead_credentials_are_not_told_again_after_a_restart(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    dead(chain, endpoint)
    dead(chain_of(endpoint, store, clock), endpoint)
    assert len(deaths(logged)) == 1


def test_a_trouble_of_the_endpoint_does_not_bring_the_dead_to_life(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    dead(chain, endpoint)
    clock.advance(DEAD_PAUSE)
    asking = start(chain.access_token())
    endpoint.refuse(Temporary("503"))
    with pytest.raises(Temporary):
        result_of(asking)
    dead(chain, endpoint)
    assert len(deaths(logged)) == 1


def test_a_consumer_whose_chain_it_is_not_waits_alone(
    store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    """Two accounts of the settings have tokens of one chain, and each a consumer of its own."""
    right, wrong = Endpoint("right"), Endpoint("wrong")
    its = chain_of(right, store, clock, name="its")
    renewed(its, right)
    stranger = chain_of(wrong, store, clock, "c4n4ry-R1", node="node 2", name="stranger")
    clock.advance(3 * HOUR)
    for _ in range(2):
        dead(stranger, wrong)
        with pytest.raises(DeadCredentials, match="400; the refresh token was renewed with another consumer"):
            run(stranger.access_token())
        assert store.now(its.trouble) == ""
        assert "another consumer" in store.now(stranger.trouble)
        clock.advance(DEAD_PAUSE)
    assert [event["account"] for event in deaths(logged)] == ["stranger"]
    renewed(its, right, "c4n4ry-A2", "c4n4ry-R2")
    assert run(stranger.access_token()) == "c4n4ry-A2"


def test_a_chain_that_its_own_consumer_is_refused_is_dead_for_all_who_share_it(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    renewed(chain, endpoint)
    clock.advance(3 * HOUR)
    dead(chain, endpoint)
    other = chain_of(Endpoint("wrong"), store, clock, "c4n4ry-R1", name="stranger")
    assert store.now(other.trouble) == store.now(chain.trouble) != ""


def test_a_chain_that_another_consumer_can_renew_is_that_ones(store: ImmediateStore, clock: Clock) -> None:
    """The consumer, or its secret, was replaced in the settings; the token was not."""
    before, after = Endpoint("before"), Endpoint("after")
    renewed(chain_of(before, store, clock), before)
    clock.advance(3 * HOUR)
    again = chain_of(after, store, clock)
    dead(again, after)
    clock.advance(DEAD_PAUSE)
    renewed(again, after, "c4n4ry-A2", "c4n4ry-R2")
    assert store.now(again.trouble) == ""
    clock.advance(3 * HOUR)
    dead(again, after)
    assert stored(store).dead


def refused_twice(chain: TokenChain, endpoint: Endpoint) -> None:
    """Have Bitbucket refuse c4n4ry-A1, and c4n4ry-A2 that follows it."""
    renewed(chain, endpoint)
    assert run(chain.refused("Bearer c4n4ry-A1")) is True
    renewed(chain, endpoint, "c4n4ry-A2", "c4n4ry-R2")
    refuses(chain, "c4n4ry-A2")


def refuses(chain: TokenChain, token: str) -> None:
    with pytest.raises(DeadCredentials, match="401 to an access token that it gave a moment ago"):
        run(chain.refused(f"Bearer {token}"))


def test_tokens_that_are_refused_although_they_are_new_are_told_once_and_make_work_wait(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    refused_twice(chain, endpoint)
    assert "401" in stored(store).dead
    for number in (3, 4):
        with pytest.raises(DeadCredentials, match="401"):
            run(chain.access_token())
        clock.advance(DEAD_PAUSE)
        renewed(chain, endpoint, f"c4n4ry-A{number}", f"c4n4ry-R{number}")
        refuses(chain, f"c4n4ry-A{number}")
    assert len(deaths(logged)) == 1
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1", "c4n4ry-R2", "c4n4ry-R3"]


def test_a_chain_whose_tokens_were_refused_lives_when_one_is_accepted(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    refused_twice(chain, endpoint)
    clock.advance(DEAD_PAUSE)
    renewed(chain, endpoint, "c4n4ry-A3", "c4n4ry-R3")
    chain.accepted()
    assert stored(store).dead == ""
    assert run(chain.refused("Bearer c4n4ry-A3")) is True


def test_a_token_that_died_before_its_time_is_replaced(chain: TokenChain, endpoint: Endpoint, clock: Clock) -> None:
    renewed(chain, endpoint)
    run(chain.refused("Bearer c4n4ry-A1"))
    renewed(chain, endpoint, "c4n4ry-A2", "c4n4ry-R2")
    clock.advance(YOUNG)
    assert run(chain.refused("Bearer c4n4ry-A2")) is True


def test_a_token_that_was_renewed_when_our_clock_was_ahead_is_not_used(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    ahead = Clock()
    ahead.advance(clock.seconds() + DAY)
    renewed(chain_of(endpoint, store, ahead), endpoint)
    asking = start(chain.access_token())
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]
    endpoint.grant("c4n4ry-A2", "c4n4ry-R2")
    assert result_of(asking) == "c4n4ry-A2"


def test_a_chain_that_was_renewed_when_our_clock_was_ahead_is_not_left_idle(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    ahead = Clock()
    ahead.advance(clock.seconds() + 100 * DAY)
    renewed(chain_of(endpoint, store, ahead), endpoint)
    start(chain.refresh_if_idle(DAY))
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]


def test_client_credentials_need_no_refresh_token(endpoint: Endpoint, store: ImmediateStore, clock: Clock) -> None:
    chain = chain_of(endpoint, store, clock, "")
    renewed(chain, endpoint, "c4n4ry-A1", "")
    clock.advance(3 * HOUR)
    renewed(chain, endpoint, "c4n4ry-A2", "")
    assert endpoint.shown == ["", ""]


def test_a_refresh_token_that_does_not_rotate_is_kept(chain: TokenChain, endpoint: Endpoint, clock: Clock) -> None:
    renewed(chain, endpoint, "c4n4ry-A1", "")
    clock.advance(3 * HOUR)
    renewed(chain, endpoint, "c4n4ry-A2", "")
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R0"]


def test_tokens_of_4000_characters_are_kept_whole(chain: TokenChain, endpoint: Endpoint, store: ImmediateStore) -> None:
    access, refresh = "c4n4ry-a" * 500, "c4n4ry-r" * 500
    renewed(chain, endpoint, access, refresh)
    assert (stored(store).access_token, stored(store).refresh_token) == (access, refresh)
    assert store.now(credentials.holders, refresh) == ["default"]


def test_the_newest_pair_has_life_left(chain: TokenChain, endpoint: Endpoint) -> None:
    asking = start(chain.newest())
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    newest = result_of(asking)
    assert (newest.access_token, newest.refresh_token) == ("c4n4ry-A1", "c4n4ry-R1")


def test_a_renewal_is_noted_in_the_transaction_that_stores_it(
    endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    noted: list[tuple[str, str]] = []

    def note(tx: Transaction, previous: Chain, newest: Chain) -> None:
        assert credentials.held(tx, "default") == newest
        noted.append((previous.refresh_token, newest.refresh_token))

    renewed(chain_of(endpoint, store, clock, renewed=note), endpoint)
    assert noted == [("c4n4ry-R0", "c4n4ry-R1")]


def test_a_node_that_slept_over_its_lease_goes_on_with_the_pair_that_another_one_stored(
    endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    noted: list[Chain] = []
    sleeper = chain_of(endpoint, store, clock, renewed=lambda _, *pairs: noted.extend(pairs))
    asking = start(sleeper.access_token())
    clock.advance(LOCK)
    elsewhere = Endpoint()
    renewed(chain_of(elsewhere, store, clock, node="other"), elsewhere, "c4n4ry-A2", "c4n4ry-R2")
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert result_of(asking) == run(sleeper.access_token()) == "c4n4ry-A2"
    assert stored(store).refresh_token == "c4n4ry-R2"
    assert noted == []


def test_a_node_that_slept_over_its_lease_takes_no_newer_pair_for_dead(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    asking = start(chain.access_token())
    clock.advance(LOCK)
    elsewhere = Endpoint()
    renewed(chain_of(elsewhere, store, clock, node="other"), elsewhere, "c4n4ry-A2", "c4n4ry-R2")
    endpoint.refuse(DeadCredentials("spent"))
    assert result_of(asking) == "c4n4ry-A2"
    assert stored(store).dead == ""
    assert deaths(logged) == []


def test_a_chain_whose_first_token_was_forgotten_goes_on(
    chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    renewed(chain, endpoint)
    store.now(lambda tx: tx.execute(sa.delete(schema.chain_members)))
    clock.advance(3 * HOUR)
    start(chain.access_token())
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]


def test_a_chain_in_use_is_not_refreshed_for_being_idle(chain: TokenChain, endpoint: Endpoint, clock: Clock) -> None:
    renewed(chain, endpoint)
    clock.advance(DAY - 1)
    run(chain.refresh_if_idle(DAY))
    assert endpoint.shown == ["c4n4ry-R0"]


def test_an_idle_chain_is_refreshed(chain: TokenChain, endpoint: Endpoint, store: ImmediateStore, clock: Clock) -> None:
    renewed(chain, endpoint)
    clock.advance(DAY)
    refreshing = start(chain.refresh_if_idle(DAY))
    endpoint.grant("c4n4ry-A2", "c4n4ry-R2")
    result_of(refreshing)
    assert stored(store).refresh_token == "c4n4ry-R2"


def test_a_chain_that_was_never_used_is_refreshed(chain: TokenChain, endpoint: Endpoint) -> None:
    start(chain.refresh_if_idle(DAY))
    assert endpoint.shown == ["c4n4ry-R0"]


def test_client_credentials_are_never_idle(endpoint: Endpoint, store: ImmediateStore, clock: Clock) -> None:
    run(chain_of(endpoint, store, clock, "").refresh_if_idle(DAY))
    assert endpoint.shown == []


def test_a_chain_that_another_node_forgot_is_begun_while_its_lock_is_waited_for(
    endpoint: Endpoint, store: ImmediateStore, clock: Clock
) -> None:
    store.now(credentials.begin, "default", "c4n4ry-R0")
    store.now(credentials.lock, credentials.digest("c4n4ry-R0"), Lease("other", clock.seconds()))
    asking = start(chain_of(endpoint, store, clock).access_token())
    store.now(credentials.forget, "default")
    store.now(credentials.prune_chains, clock.seconds(), 10)
    clock.advance(PAUSE)
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert result_of(asking) == "c4n4ry-A1"
