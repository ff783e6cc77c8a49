"""Chains of refresh tokens. Each use of a refresh token gives its successor; all that ever were are remembered.

A chain is known by the token that it began with, whatever those are called who hold it: an account can be renamed, and
several projects of a coordinator can share one. A token leads to its own chain or to none, never to another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from attrs import asdict, field, frozen

from probo_bitbucket.logs import hide
from probo_bitbucket.store.schema import chain_holders, chain_members, chains, hand_ons
from probo_bitbucket.store.sql import Lease, insert

LOCK = 90.0  # seconds; nobody renews it, and a request for a token may take half a minute


def digest(token: str) -> str:
    """What is stored of a token to know it again."""
    return hashlib.sha256(token.encode()).hexdigest()


@frozen
class Chain:
    """The newest pair of tokens. An access token is reused until *expires_at*.

    *Consumer* tells whose tokens they are, where they were renewed: the digest of its key and secret.
    """

    origin: str
    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    refreshed_at: float = 0.0
    dead: str = ""
    consumer: str = ""

    def __attrs_post_init__(self) -> None:
        """Whatever has tokens in hand can come to a log line with them."""
        for token in (self.access_token, self.refresh_token):
            hide(token, of=self.origin)


def begin(tx: sa.Connection, name: str, refresh_token: str) -> Chain:
    """The chain that *refresh_token* is or was a token of, begun with it where there is none; *name* holds it then.

    A token of the settings that is replaced by hand thus starts a new chain, and one that was rotated away since
    does not. Without a token it is the chain that *name* holds, or else one of client credentials.
    """
    chain = owner(tx, refresh_token) if refresh_token else held(tx, name)
    if chain is None:
        chain = _begun(tx, Chain(_origin(name, refresh_token), refresh_token))
    _hold(tx, name, chain, refresh_token)
    return chain


def begin_anew(tx: sa.Connection, name: str, fresh: Chain) -> None:
    """Let *name* hold *fresh*. The tokens of what it held alone stand for the new one: its credentials were renewed."""
    former = held(tx, name)
    _delete(tx, [fresh.origin])
    _begun(tx, fresh)
    _hold(tx, name, fresh, fresh.refresh_token)
    if former is not None and former.origin != fresh.origin and not _holders(tx, former.origin):
        tx.execute(sa.update(chain_members).where(chain_members.c.chain == former.origin).values(chain=fresh.origin))
        _delete(tx, [former.origin])


def remember(tx: sa.Connection, name: str, refresh_token: str) -> None:
    """Let a token that is, or may be, in the settings stand for ever for the chain that *name* holds."""
    chain = held(tx, name)
    if chain is not None:
        _remember(tx, chain, refresh_token, given_at=None)


def forget(tx: sa.Connection, name: str) -> None:
    """Let *name* hold nothing. What it held stays for others, and, by its tokens, for a new name of its account."""
    tx.execute(sa.delete(chain_holders).where(chain_holders.c.name == name))
    _delete(tx, [_origin(name, "")])


def find(tx: sa.Connection, origin: str) -> Chain | None:
    row = tx.execute(sa.select(chains).where(chains.c.origin == origin)).first()
    return None if row is None else _chain(row)


def held(tx: sa.Connection, name: str) -> Chain | None:
    """The chain that *name* holds."""
    row = tx.execute(_HELD.where(chain_holders.c.name == name)).first()
    return None if row is None else _chain(row)


def all_held(tx: sa.Connection, prefix: str) -> list[tuple[str, Chain]]:
    """The names that begin with *prefix*, each with the chain that it holds."""
    found = _HELD.where(chain_holders.c.name.startswith(prefix, autoescape=True)).order_by(chain_holders.c.name)
    return [(row.name, _chain(row)) for row in tx.execute(found)]


def owner(tx: sa.Connection, token: str) -> Chain | None:
    """The chain that *token* is or was a refresh token of."""
    member = sa.select(chain_members.c.chain).where(chain_members.c.digest == digest(token))
    row = tx.execute(sa.select(chains).where(chains.c.origin == member.scalar_subquery())).first()
    return None if row is None else _chain(row)


def holders(tx: sa.Connection, token: str) -> Sequence[str]:
    """The names of those that hold the chain that *token* is or was a refresh token of."""
    chain = owner(tx, token)
    return [] if chain is None else _holders(tx, chain.origin)


def holder(tx: sa.Connection, origin: str, prefix: str) -> str | None:
    """One of the names that hold a chain and begin with *prefix*: the first one."""
    return next((name for name in _holders(tx, origin) if name.startswith(prefix)), None)


def oldest_renewal(tx: sa.Connection) -> float | None:
    """When the chain was renewed that was not for the longest time; None where none ever was."""
    renewed = sa.select(sa.func.min(chains.c.refreshed_at)).where(chains.c.refreshed_at > 0, _IS_HELD)
    oldest: float | None = tx.scalar(renewed)
    return oldest


def lock(tx: sa.Connection, origin: str, lease: Lease) -> Chain | None:
    """Take the right to refresh a chain, or None while another node has it."""
    free = sa.or_(chains.c.leased_until <= lease.now, chains.c.leased_by == lease.holder)
    taken = tx.execute(
        sa.update(chains)
        .where(chains.c.origin == origin, free)
        .values(leased_by=lease.holder, leased_until=lease.now + LOCK)
    )
    return find(tx, origin) if taken.rowcount else None


def unlock(tx: sa.Connection, chain: Chain, dead: str = "") -> bool:
    """Give the right back without a new pair, with the reason where Bitbucket refuses the chain for good.

    Returns whether *chain* is still the newest. A newer pair, which another node stored meanwhile, stays as it is.
    """
    freed = tx.execute(sa.update(chains).where(_unchanged(chain)).values(leased_by="", leased_until=0.0, dead=dead))
    return bool(freed.rowcount)


def succeed(tx: sa.Connection, previous: Chain, newest: Chain) -> bool:
    """Store the pair that follows *previous*, and give the right to refresh back.

    Returns whether it is the newest. One that another node stored meanwhile stays: this one slept over its lease.
    """
    values = {**asdict(newest), "leased_by": "", "leased_until": 0.0}
    stored = tx.execute(sa.update(chains).where(_unchanged(previous)).values(**values))
    _remember(tx, newest, newest.refresh_token, given_at=newest.refreshed_at)
    return bool(stored.rowcount)


def discard(tx: sa.Connection, origin: str, access_token: str, dead: str = "") -> None:
    """Do not use an access token again that Bitbucket refused. *dead* says why another one will not help."""
    mine = sa.and_(chains.c.origin == origin, chains.c.access_token == access_token)
    tx.execute(sa.update(chains).where(mine).values(expires_at=0.0, dead=dead))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Forget up to *limit* refresh tokens that Bitbucket gave before a time, but no chain's newest. Returns how many.

    Those that settings or coordinator have stay: forgotten, they would begin their chains anew, with a token that is
    spent.
    """
    newest = [digest(token) for token in tx.scalars(sa.select(chains.c.refresh_token))]
    old = sa.select(chain_members.c.digest).where(
        chain_members.c.given_at < before,
        chain_members.c.digest.not_in(newest),
        chain_members.c.digest.not_in(sa.select(chain_holders.c.shown)),
    )
    return tx.execute(sa.delete(chain_members).where(chain_members.c.digest.in_(old.limit(limit)))).rowcount


def prune_chains(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* chains that nobody holds, and nobody renewed since a time. Returns how many."""
    unused = sa.select(chains.c.origin).where(chains.c.refreshed_at < before, ~_IS_HELD).limit(limit)
    origins = list(tx.scalars(unused))
    _delete(tx, origins)
    tx.execute(sa.delete(chain_members).where(chain_members.c.chain.in_(origins)))
    return len(origins)


_HELD = sa.select(chain_holders.c.name, *chains.c).join(chains, chains.c.origin == chain_holders.c.chain)
_IS_HELD = sa.exists().where(chain_holders.c.chain == chains.c.origin)


def _origin(name: str, refresh_token: str) -> str:
    """What a new chain is known by. Client credentials have no token that could tell them apart."""
    return digest(refresh_token or f"account {name}")


def _begun(tx: sa.Connection, fresh: Chain) -> Chain:
    """The chain as stored, which another node can have begun, and renewed, a moment ago."""
    tx.execute(insert(tx, chains).values(**asdict(fresh)).on_conflict_do_nothing())
    _remember(tx, fresh, fresh.refresh_token, given_at=None)
    return find(tx, fresh.origin) or fresh


def _hold(tx: sa.Connection, name: str, chain: Chain, refresh_token: str) -> None:
    values = {"chain": chain.origin, "shown": digest(refresh_token) if refresh_token else ""}
    same = [chain_holders.c[column] == value for column, value in {"name": name, **values}.items()]
    if tx.execute(sa.select(chain_holders.c.name).where(*same)).first() is None:
        held = insert(tx, chain_holders).values(name=name, **values)
        tx.execute(held.on_conflict_do_update(index_elements=["name"], set_=values))


def _holders(tx: sa.Connection, origin: str) -> Sequence[str]:
    names = sa.select(chain_holders.c.name).where(chain_holders.c.chain == origin)
    return tx.scalars(names.order_by(chain_holders.c.name)).all()


def _remember(tx: sa.Connection, chain: Chain, refresh_token: str, given_at: float | None) -> None:
    """One that we were given stays for ever, also where Bitbucket gave it before, or gives it again."""
    if refresh_token:
        values = {"chain": chain.origin, "given_at": given_at}
        member = insert(tx, chain_members).values(digest=digest(refresh_token), **values)
        given_at_too = {} if given_at is not None else {"given_at": None}
        tx.execute(
            member.on_conflict_do_update(index_elements=["digest"], set_={"chain": chain.origin, **given_at_too})
        )


def _delete(tx: sa.Connection, origins: Sequence[str]) -> None:
    tx.execute(sa.delete(hand_ons).where(hand_ons.c.chain.in_(origins)))
    tx.execute(sa.delete(chains).where(chains.c.origin.in_(origins)))


def _unchanged(chain: Chain) -> sa.ColumnElement[bool]:
    return sa.and_(
        chains.c.origin == chain.origin,
        chains.c.refresh_token == chain.refresh_token,
        chains.c.access_token == chain.access_token,
    )


def _chain(row: sa.Row[Any]) -> Chain:
    return Chain(
        row.origin, row.refresh_token, row.access_token, row.expires_at, row.refreshed_at, row.dead, row.consumer
    )
