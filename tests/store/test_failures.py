"""What was given up on is told from a few small columns, however large the rest is that is kept of it."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.model import Build, BuildKind, BuildState, ForwardedUpdate, Repository, Status, StatusState
from probo_bitbucket.store import Lease, builds, failures, forwarded, statuses
from probo_bitbucket.store.statuses import Wish

SITE = Repository("acme", "site")
BUILD = Build("b-1", BuildKind.HASH, SITE, SITE, "a" * 40, "n", 1.0)
UPDATE = ForwardedUpdate("github", "gh-1", "Acme/env", "hub/site", "/update", "application/json", b"{}", 2.0)


def test_a_list_of_what_was_given_up_on_reads_no_bodies_and_no_documents(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 1.0)
    builds.conclude(tx, BUILD.id, BuildState.FAILED, 1.0, "the Container Manager is down")
    forwarded.record(tx, UPDATE)
    forwarded.record(tx, evolve(UPDATE, context="Acme/other", received_at=1.5))
    for stored in forwarded.claim_pending(tx, Lease("north", 3.0), 10):
        forwarded.give_up(tx, stored, "the github handler answered 500")
    asked: list[str] = []
    sa.event.listen(tx, "before_cursor_execute", lambda _c, _k, text, *_: asked.append(text))
    found = failures.given_up(tx, 10)
    assert [(each.kind, each.what) for each in found] == [
        ("update", "Acme/env"),
        ("update", "Acme/other"),
        ("build", "a" * 40),
    ]
    assert [text for text in asked if "forwarded.body" in text or "builds.document" in text] == []


def test_a_failure_that_was_told_under_a_short_hash_is_not_told_again_beside_what_follows(tx: sa.Connection) -> None:
    """For Bitbucket both are one commit: the older one could be posted last."""
    short = evolve(BUILD, commit="a" * 12)
    builds.request(tx, short, 1.0)
    builds.conclude(tx, short.id, BuildState.FAILED, 1.0, "Bitbucket is down")
    status = Status(SITE, short.commit, "Acme/env", StatusState.FAILED, "Acme/env", "Bitbucket is down", "")
    statuses.desire(tx, Wish(short.id, "Acme/env", status, {}, settled=True), None, 1.0)
    [claimed] = statuses.claim_pending(tx, Lease("north", 2.0), 1)
    statuses.give_up(tx, claimed, "Bitbucket is down")
    assert failures.send_again(tx, short.id, 3.0) == 2
    assert statuses.find(tx, status) is None
