"""What was given up on: shown with its reason, and sent again when an operator says so."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import BuildState, DeliveryState
from probo_bitbucket.store import builds as build_rows
from probo_bitbucket.store import commands as command_rows
from probo_bitbucket.store import comments as comment_rows
from probo_bitbucket.store import credentials
from probo_bitbucket.store import deliveries as delivery_rows
from probo_bitbucket.store import forwarded as forwarded_rows
from probo_bitbucket.store import hand_ons as hand_on_rows
from probo_bitbucket.store import pull_requests as pull_request_rows
from probo_bitbucket.store import removals as removal_rows
from probo_bitbucket.store import statuses as status_rows
from probo_bitbucket.store.schema import (
    builds,
    commands,
    comments,
    deliveries,
    forwarded,
    hand_ons,
    pull_requests,
    removals,
    statuses,
)


@frozen
class Failure:
    """One thing that was given up on. *name* is what it is sent again by: of most kinds, that of the build.

    Of a comment, of a command in one, and of a closed pull request whose remains could not be looked for it is
    `workspace/repository#number`; of tokens that were not handed on, the chain's.
    """

    # delivery, build, removal, closing, status, comment, command, hand-on, or (for another provider's handler) update
    kind: str
    name: str
    repository: str
    what: str
    reason: str
    at: float


def given_up(tx: sa.Connection, limit: int | None = None) -> list[Failure]:
    """What was given up on, the latest first: everything, or *limit* at most.

    Without the bodies and documents, which are large.
    """
    kinds = (_deliveries, _builds, _removals, _closings, _statuses, _updates, _comments, _commands, _hand_ons)
    found = [failure for kind in kinds for failure in kind(tx, limit)]
    return sorted(found, key=lambda failure: failure.at, reverse=True)[:limit]


def _deliveries(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = deliveries.c
    query = sa.select(of.id, of.repository, of.event_key, of.reason, of.received_at)
    query = query.where(of.state == DeliveryState.FAILED).order_by(of.id.desc()).limit(limit)
    for row in tx.execute(query):
        yield Failure("delivery", str(row.id), row.repository, row.event_key, row.reason, row.received_at)


def _builds(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = builds.c
    query = sa.select(of.id, of.repository, of.commit, of.reason, of.changed_at).where(of.state == BuildState.FAILED)
    for row in tx.execute(query.order_by(of.created_at.desc()).limit(limit)):
        yield Failure("build", row.id, row.repository, row.commit, row.reason, row.changed_at)


def _removals(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    query = sa.select(removals).where(~removals.c.pending, removals.c.last_error != "")
    for row in tx.execute(query.order_by(removals.c.wanted_at.desc()).limit(limit)):
        yield Failure("removal", row.build_id, row.repository, row.words, row.last_error, row.wanted_at)


def _closings(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    query = sa.select(pull_requests).where(~pull_requests.c.pending, pull_requests.c.last_error != "")
    for row in tx.execute(query.order_by(pull_requests.c.changed_at.desc()).limit(limit)):
        name = f"{row.repository}#{row.number}"
        yield Failure("closing", name, row.repository, row.state.lower(), row.last_error, row.changed_at)


def _statuses(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    query = sa.select(statuses).where(statuses.c.failed)
    for row in tx.execute(query.order_by(statuses.c.changed_at.desc()).limit(limit)):
        yield Failure("status", row.build_id, row.repository, row.key, row.last_error, row.changed_at)


def _updates(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = forwarded.c
    query = sa.select(of.build_id, of.repository, of.context, of.last_error, of.received_at).where(of.failed)
    for row in tx.execute(query.order_by(of.received_at.desc()).limit(limit)):
        yield Failure("update", row.build_id, row.repository, row.context, row.last_error, row.received_at)


def _comments(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = comments.c
    query = sa.select(of.repository, of.pull_request, of.build_id, of.last_error, of.changed_at)
    query = query.where(~of.pending, of.last_error != "").order_by(of.changed_at.desc()).limit(limit)
    for row in tx.execute(query):
        name = f"{row.repository}#{row.pull_request}"
        yield Failure("comment", name, row.repository, f"about {row.build_id}", row.last_error, row.changed_at)


def _commands(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = commands.c
    query = sa.select(of.repository, of.pull_request, of.number, of.command, of.last_error, of.created_at)
    query = query.where(~of.pending, of.last_error != "").order_by(of.created_at.desc()).limit(limit)
    for row in tx.execute(query):
        name, what = f"{row.repository}#{row.pull_request}", f"{row.command} (comment {row.number})"
        yield Failure("command", name, row.repository, what, row.last_error, row.created_at)


def _hand_ons(tx: sa.Connection, limit: int | None) -> Iterator[Failure]:
    of = hand_ons.c
    query = sa.select(of.chain, of.last_error, of.renewed_at).where(~of.pending, of.last_error != "")
    for row in tx.execute(query.order_by(of.renewed_at.desc()).limit(limit)):
        what = f"renewed tokens of {credentials.holder(tx, row.chain, '') or row.chain}"
        yield Failure("hand-on", row.chain, "", what, row.last_error, row.renewed_at)


def send_again(tx: sa.Connection, name: str, now: float) -> int:
    """Have everything of that name worked on again. Returns how much that is."""
    meant = [failure for failure in given_up(tx) if failure.name == name]
    for failure in meant:
        if failure.kind == "delivery":
            delivery_rows.send_again(tx, int(name), now)
        elif failure.kind == "build":
            build_rows.send_again(tx, name, now)
        elif failure.kind == "removal":
            removal_rows.send_again(tx, name, now)
        elif failure.kind == "closing":
            pull_request_rows.send_again(tx, failure.repository, _number(name))
        elif failure.kind == "comment":
            comment_rows.send_again(tx, failure.repository, _number(name))
        elif failure.kind == "command":
            command_rows.send_again(tx, failure.repository, _number(name))
        elif failure.kind == "hand-on":
            hand_on_rows.send_again(tx, name)
    forwarded_rows.send_again(tx, name)
    for stored in status_rows.of_build(tx, name):
        if stored.failed:
            status_rows.send_again(tx, stored, now)
    return len(meant)


def _number(name: str) -> int:
    return int(name.rpartition("#")[2])
