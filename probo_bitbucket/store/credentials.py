"""Chains of refresh tokens. Each use of a refresh token gives its successor; all that ever were are remembered."""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from probo_bitbucket.store.schema import chain_members, chains, hand_ons
from probo_bitbucket.store.sql import Lease, insert

LOCK = 90.0  # seconds; nobody renews it, and a request for a token may take half a minute


def digest(token: str) -> str:
    """What is stored of a token to know it again."""
    return hashlib.sha256(token.encode()).hexdigest()


@frozen
class Chain:
    """The newest pair of tokens of one account. An access token is reused until *expires_at*."""

    name: str
    origin: str
    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    refreshed_at: float = 0.0
    dead: str = ""


def begin(tx: sa.Connection, name: str, refresh_token: str) -> Chain:
    """The chain of that name, begun anew if *refresh_token* is none that it ever had.

    A token of the settings that is replaced by hand thus starts a new chain, and one that was rotated away since
    does not.
    """
    chain = find(tx, name)
    if chain is not None and (not refresh_token or owner(tx, refresh_token) == name):
        return chain
    fresh = Chain(name, digest(refresh_token), refresh_token)
    begin_anew(tx, fresh)
    return fresh


def begin_anew(tx: sa.Connection, fresh: Chain) -> None:
    """Put *fresh* in place of the chain of that name. The tokens of the old one can still be asked for."""
    forget(tx, fresh.name)
    tx.execute(insert(tx, chains).values(**_values(fresh)))
    remember(tx, fresh.name, fresh.refresh_token)


def remember(tx: sa.Connection, name: str, refresh_token: str) -> None:
    """Let a token that is, or may be, in the settings stand for the chain of that name for ever."""
    _remember(tx, name, refresh_token, given_at=None)


def forget(tx: sa.Connection, name: str) -> None:
    """Delete a chain, and what a coordinator was to be told of it. Its tokens can still be asked for."""
    tx.execute(sa.delete(hand_ons).where(hand_ons.c.chain == name))
    tx.execute(sa.delete(chains).where(chains.c.name == name))


def find(tx: sa.Connection, name: str) -> Chain | None:
    row = tx.execute(sa.select(chains).where(chains.c.name == name)).first()
    return None if row is None else _chain(row)


def oldest_renewal(tx: sa.Connection) -> float | None:
    """When the chain was renewed that was not for the longest time; None where none ever was."""
    oldest: float | None = tx.scalar(sa.select(sa.func.min(chains.c.refreshed_at)).where(chains.c.refreshed_at > 0))
    return oldest


def owner(tx: sa.Connection, token: str) -> str | None:
    """The name of the chain that *token* is or was a refresh token of."""
    return tx.scalar(sa.select(chain_members.c.chain).where(chain_members.c.digest == digest(token)))


def lock(tx: sa.Connection, name: str, lease: Lease) -> Chain | None:
    """Take the right to refresh a chain, or None while another node has it."""
    taken = tx.execute(
        sa.update(chains)
        .where(chains.c.name == name, sa.or_(chains.c.leased_until <= lease.now, chains.c.leased_by == lease.holder))
        .values(leased_by=lease.holder, leased_until=lease.now + LOCK)
    )
    return find(tx, name) if taken.rowcount else None


def unlock(tx: sa.Connection, chain: Chain, dead: str = "") -> None:
    """Give the right back without a new pair, with the reason where Bitbucket refuses the chain for good.

    A chain that was begun anew meanwhile stays as it is.
    """
    tx.execute(sa.update(chains).where(_same(chain)).values(leased_by="", leased_until=0.0, dead=dead))


def succeed(tx: sa.Connection, chain: Chain) -> bool:
    """Store the newest pair, and give the right to refresh back. A chain that was begun anew meanwhile stays.

    Returns whether it is the newest.
    """
    stored = tx.execute(sa.update(chains).where(_same(chain)).values(**_values(chain), leased_by="", leased_until=0.0))
    _remember(tx, chain.name, chain.refresh_token, given_at=chain.refreshed_at)
    return bool(stored.rowcount)


def discard(tx: sa.Connection, name: str, access_token: str) -> None:
    """Do not use an access token again that Bitbucket refused."""
    mine = sa.and_(chains.c.name == name, chains.c.access_token == access_token)
    tx.execute(sa.update(chains).where(mine).values(expires_at=0.0))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Forget up to *limit* refresh tokens that Bitbucket gave before a time, but no chain's newest. Returns how many.

    Those of the settings stay: forgotten, they would begin their chains anew, with a token that is spent.
    """
    newest = [digest(token) for token in tx.scalars(sa.select(chains.c.refresh_token))]
    old = sa.select(chain_members.c.digest).where(
        chain_members.c.given_at < before, chain_members.c.digest.not_in(newest)
    )
    return tx.execute(sa.delete(chain_members).where(chain_members.c.digest.in_(old.limit(limit)))).rowcount


def _remember(tx: sa.Connection, name: str, refresh_token: str, given_at: float | None) -> None:
    if refresh_token:
        member = insert(tx, chain_members).values(digest=digest(refresh_token), chain=name, given_at=given_at)
        tx.execute(member.on_conflict_do_update(index_elements=["digest"], set_={"chain": name}))


def _same(chain: Chain) -> sa.ColumnElement[bool]:
    return sa.and_(chains.c.name == chain.name, chains.c.origin == chain.origin)


def _values(chain: Chain) -> dict[str, Any]:
    return {
        "name": chain.name,
        "origin": chain.origin,
        "refresh_token": chain.refresh_token,
        "access_token": chain.access_token,
        "expires_at": chain.expires_at,
        "refreshed_at": chain.refreshed_at,
        "dead": chain.dead,
    }


def _chain(row: sa.Row[Any]) -> Chain:
    return Chain(row.name, row.origin, row.refresh_token, row.access_token, row.expires_at, row.refreshed_at, row.dead)
