"""Chains of refresh tokens."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.store import Lease, credentials
from probo_bitbucket.store.credentials import Chain


def refresh(tx: sa.Connection, token: str, now: float) -> None:
    """What a node does that renews the chain of `acme`."""
    held = credentials.held(tx, "acme")
    assert held is not None
    chain = credentials.lock(tx, held.origin, Lease("north", now))
    assert chain is not None
    newest = evolve(chain, refresh_token=token, access_token=f"access {token}", refreshed_at=now)
    assert credentials.succeed(tx, chain, newest)


def lock(tx: sa.Connection, node: str, now: float) -> Chain | None:
    return credentials.lock(tx, credentials.digest("c4n4ry first"), Lease(node, now))


def known(tx: sa.Connection, *tokens: str) -> list[list[str]]:
    """Who holds the chain of each of *tokens*."""
    return [list(credentials.holders(tx, token)) for token in tokens]


def test_a_token_of_the_settings_that_was_rotated_away_does_not_begin_the_chain_anew(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    assert credentials.begin(tx, "acme", "c4n4ry first").refresh_token == "c4n4ry second"


def test_a_chain_follows_its_token_to_a_new_name(tx: sa.Connection) -> None:
    """An account of the top level was given a name, and another one took its place: in whichever order they begin."""
    for others in ("default", "acme"), ("acme", "default"):
        with tx.begin_nested() as attempt:
            credentials.begin(tx, "default", "c4n4ry first")
            credentials.begin(tx, "acme", "c4n4ry first")
            refresh(tx, "c4n4ry second", 10.0)
            credentials.forget(tx, "acme")
            begun = {
                name: credentials.begin(tx, name, {"default": "c4n4ry X", "acme": "c4n4ry first"}[name])
                for name in others
            }
            assert {name: chain.refresh_token for name, chain in begun.items()} == {
                "default": "c4n4ry X",
                "acme": "c4n4ry second",
            }
            assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry X") == [["acme"], ["acme"], ["default"]]
            attempt.rollback()


def test_those_who_share_a_chain_keep_it_when_one_of_them_has_other_credentials(tx: sa.Connection) -> None:
    for name in ("acme", "globex"):
        credentials.begin(tx, name, "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    credentials.begin(tx, "acme", "c4n4ry by hand")
    credentials.begin_anew(tx, "acme", Chain("origin", "c4n4ry set up"))
    assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry by hand", "c4n4ry set up") == [
        ["globex"],
        ["globex"],
        ["acme"],
        ["acme"],
    ]


def test_tokens_of_an_account_stand_for_what_was_set_up_in_their_place(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    credentials.begin_anew(tx, "acme", Chain("origin", "c4n4ry set up"))
    assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry set up") == [["acme"]] * 3
    assert credentials.begin(tx, "acme", "c4n4ry first").refresh_token == "c4n4ry set up"


def test_another_token_in_the_settings_begins_the_chain_anew(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    anew = credentials.begin(tx, "acme", "c4n4ry by hand")
    assert (anew.refresh_token, anew.access_token) == ("c4n4ry by hand", "")


def test_a_refresh_of_a_chain_that_was_replaced_meanwhile_changes_nothing(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    chain = lock(tx, "north", 0.0)
    assert chain is not None
    credentials.begin(tx, "acme", "c4n4ry by hand")
    credentials.succeed(tx, chain, evolve(chain, refresh_token="c4n4ry second"))
    assert credentials.begin(tx, "acme", "c4n4ry by hand").refresh_token == "c4n4ry by hand"


def test_a_pair_does_not_replace_one_that_was_stored_meanwhile(tx: sa.Connection) -> None:
    slept = credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    assert not credentials.succeed(tx, slept, evolve(slept, refresh_token="c4n4ry late", refreshed_at=5.0))
    assert not credentials.unlock(tx, slept, "spent")
    chain = credentials.begin(tx, "acme", "c4n4ry first")
    assert (chain.refresh_token, chain.dead) == ("c4n4ry second", "")
    assert known(tx, "c4n4ry late") == [["acme"]]


def test_one_node_refreshes_at_a_time_until_its_lease_ends(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    assert lock(tx, "north", 0.0) is not None
    assert lock(tx, "south", credentials.LOCK - 1) is None
    assert lock(tx, "south", credentials.LOCK) is not None


def test_a_refused_access_token_is_not_used_again_and_a_newer_one_is(tx: sa.Connection) -> None:
    chain = credentials.begin(tx, "acme", "c4n4ry first")
    credentials.succeed(tx, chain, evolve(chain, access_token="c4n4ry new", expires_at=99.0))
    credentials.discard(tx, chain.origin, "c4n4ry old")
    assert credentials.begin(tx, "acme", "c4n4ry first").expires_at == 99.0
    credentials.discard(tx, chain.origin, "c4n4ry new")
    assert credentials.begin(tx, "acme", "c4n4ry first").expires_at == 0.0


def test_every_refresh_token_that_a_chain_had_is_known_by_its_digest_only(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry third") == [["acme"], ["acme"], []]
    assert "first" not in str(tx.execute(sa.text("SELECT * FROM chain_members")).all())


def test_old_tokens_are_forgotten_but_not_the_newest_nor_those_of_the_settings(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    for now, token in ((10.0, "c4n4ry second"), (20.0, "c4n4ry third"), (30.0, "c4n4ry fourth")):
        refresh(tx, token, now)
    assert credentials.prune(tx, 25.0, limit=1) == 1
    assert credentials.prune(tx, 99.0, limit=100) == 1
    assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry third", "c4n4ry fourth") == [["acme"], [], [], ["acme"]]


def test_a_token_that_was_given_by_bitbucket_and_is_in_the_settings_is_not_forgotten(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    for now, token in ((10.0, "c4n4ry second"), (20.0, "c4n4ry third"), (30.0, "c4n4ry fourth")):
        refresh(tx, token, now)
    credentials.begin(tx, "acme", "c4n4ry second")
    credentials.remember(tx, "acme", "c4n4ry third")
    assert credentials.prune(tx, 99.0, limit=100) == 0
    for token in ("c4n4ry second", "c4n4ry third"):
        assert credentials.begin(tx, "acme", token).refresh_token == "c4n4ry fourth"


def test_a_chain_that_nobody_holds_is_deleted_when_it_was_not_renewed_for_long(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "c4n4ry first")
    refresh(tx, "c4n4ry second", 10.0)
    assert credentials.prune_chains(tx, 99.0, limit=10) == 0
    credentials.begin(tx, "acme", "c4n4ry by hand")
    assert credentials.prune_chains(tx, 10.0, limit=10) == 0
    assert credentials.prune_chains(tx, 99.0, limit=10) == 1
    assert known(tx, "c4n4ry first", "c4n4ry second", "c4n4ry by hand") == [[], [], ["acme"]]
    assert "second" not in str(tx.execute(sa.text("SELECT * FROM chains")).all())


def test_a_chain_shows_no_token(tx: sa.Connection) -> None:
    assert "first" not in repr(credentials.begin(tx, "acme", "c4n4ry first")).replace(
        credentials.digest("c4n4ry first"), ""
    )
