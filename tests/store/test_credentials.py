"""Chains of refresh tokens."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.store import Lease, credentials


def refresh(tx: sa.Connection, token: str, now: float) -> None:
    """What a node does that renews the chain `acme`."""
    chain = credentials.lock(tx, "acme", Lease("north", now))
    assert chain is not None
    credentials.succeed(tx, evolve(chain, refresh_token=token, access_token=f"access {token}", refreshed_at=now))


def test_a_token_of_the_settings_that_was_rotated_away_does_not_begin_the_chain_anew(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    refresh(tx, "second", 10.0)
    assert credentials.begin(tx, "acme", "first").refresh_token == "second"


def test_another_token_in_the_settings_begins_the_chain_anew(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    refresh(tx, "second", 10.0)
    anew = credentials.begin(tx, "acme", "by hand")
    assert (anew.refresh_token, anew.access_token) == ("by hand", "")


def test_a_refresh_of_a_chain_that_was_begun_anew_meanwhile_is_forgotten(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    chain = credentials.lock(tx, "acme", Lease("north", 0.0))
    assert chain is not None
    credentials.begin(tx, "acme", "by hand")
    credentials.succeed(tx, evolve(chain, refresh_token="second"))
    assert credentials.begin(tx, "acme", "by hand").refresh_token == "by hand"


def test_one_node_refreshes_at_a_time_until_its_lease_ends(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    assert credentials.lock(tx, "acme", Lease("north", 0.0)) is not None
    assert credentials.lock(tx, "acme", Lease("south", credentials.LOCK - 1)) is None
    assert credentials.lock(tx, "acme", Lease("south", credentials.LOCK)) is not None


def test_a_refused_access_token_is_not_used_again_and_a_newer_one_is(tx: sa.Connection) -> None:
    chain = credentials.begin(tx, "acme", "first")
    credentials.succeed(tx, evolve(chain, access_token="new", expires_at=99.0))
    credentials.discard(tx, "acme", "old")
    assert credentials.begin(tx, "acme", "first").expires_at == 99.0
    credentials.discard(tx, "acme", "new")
    assert credentials.begin(tx, "acme", "first").expires_at == 0.0


def test_every_refresh_token_that_a_chain_had_is_known_by_its_digest_only(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    refresh(tx, "second", 10.0)
    assert [credentials.owner(tx, token) for token in ("first", "second", "third")] == ["acme", "acme", None]
    assert "first" not in str(tx.execute(sa.text("SELECT * FROM chain_members")).all())


def test_old_tokens_are_forgotten_but_not_the_newest_nor_those_of_the_settings(tx: sa.Connection) -> None:
    credentials.begin(tx, "acme", "first")
    for now, token in ((10.0, "second"), (20.0, "third"), (30.0, "fourth")):
        refresh(tx, token, now)
    assert credentials.prune(tx, 25.0, limit=1) == 1
    assert credentials.prune(tx, 99.0, limit=100) == 1
    owners = [credentials.owner(tx, token) for token in ("first", "second", "third", "fourth")]
    assert owners == ["acme", None, None, "acme"]


def test_a_chain_shows_no_token(tx: sa.Connection) -> None:
    assert "first" not in repr(credentials.begin(tx, "acme", "first")).replace(credentials.digest("first"), "")
