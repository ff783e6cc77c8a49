"""What was given up on is told from a few small columns, however large the rest is that is kept of it."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Command,
    Comment,
    Commented,
    ForwardedUpdate,
    Repository,
    Status,
    StatusState,
)
from probo_bitbucket.store import (
    Lease,
    builds,
    commands,
    comments,
    credentials,
    failures,
    forwarded,
    hand_ons,
    statuses,
)
from probo_bitbucket.store.comments import CommentWish
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.failures import Failure
from probo_bitbucket.store.statuses import Wish
from probo_bitbucket.store.views.queue import queues

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
    statuses.give_up(tx, claimed, "Bitbucket is down", 2.0)
    assert failures.send_again(tx, short.id, 3.0) == 2
    assert statuses.find(tx, status) is None


def test_a_comment_that_was_given_up_on_is_listed_and_written_after_all(tx: sa.Connection) -> None:
    wish = CommentWish("b-1", Comment(SITE, 7, "Ready"), 1, due_at=1.0, worth_writing=True)
    comments.desire(tx, wish, None, 1.0)
    [stored] = comments.claim_pending(tx, Lease("north", 2.0), 10)
    comments.refuse(tx, stored, "Bitbucket answered 403")
    assert failures.given_up(tx) == [
        Failure("comment", "acme/site#7", "acme/site", "about b-1", "Bitbucket answered 403", 1.0)
    ]
    assert failures.send_again(tx, "acme/site#7", 3.0) == 1
    assert failures.given_up(tx) == []
    comments.desire(tx, evolve(wish, milestone=2), comments.find(tx, "acme/site", 7), 4.0)
    [again] = comments.claim_pending(tx, Lease("north", 4.0), 10)
    assert (again.build_id, again.version, again.refused_for) == ("b-1", 2, "")


def test_a_command_that_was_given_up_on_is_listed_and_carried_out_after_all(tx: sa.Connection) -> None:
    comment = Commented(SITE, 7, 12, "probo stop", "{a}", None)
    commands.record(tx, Command.STOP, comment, "delivery 1", 1.0)
    [stored] = commands.claim_pending(tx, Lease("north", 2.0), 10)
    commands.finish(tx, stored, "Bitbucket answered 503")
    assert failures.given_up(tx) == [
        Failure("command", "acme/site#7", "acme/site", "stop (comment 12)", "Bitbucket answered 503", 1.0)
    ]
    assert failures.send_again(tx, "acme/site#7", 3.0) == 1
    assert failures.given_up(tx) == []
    assert [each.command for each in commands.claim_pending(tx, Lease("north", 4.0), 10)] == [Command.STOP]


def test_tokens_that_were_not_handed_on_are_listed_and_handed_on_after_all(tx: sa.Connection) -> None:
    chain = Chain("origin", "c4n4ry-second", refreshed_at=1.0)
    credentials.begin_anew(tx, "project p-1", chain)
    hand_ons.note(tx, evolve(chain, refresh_token="c4n4ry-first"), chain)
    [told] = hand_ons.claim_pending(tx, Lease("north", 2.0), 10)
    hand_ons.give_up(tx, told, "the coordinator answered 400")
    assert failures.given_up(tx) == [
        Failure("hand-on", "origin", "", "renewed tokens of project p-1", "the coordinator answered 400", 1.0)
    ]
    assert failures.send_again(tx, "origin", 3.0) == 1
    assert failures.given_up(tx) == []
    assert [each.holder for each in hand_ons.claim_pending(tx, Lease("north", 4.0), 10)] == ["project p-1"]


def test_the_queue_counts_as_many_as_the_list_has(tx: sa.Connection) -> None:
    commands.record(tx, Command.STOP, Commented(SITE, 7, 12, "probo stop", "{a}", None), "delivery 1", 1.0)
    [stored] = commands.claim_pending(tx, Lease("north", 2.0), 10)
    commands.finish(tx, stored, "Bitbucket answered 503")
    assert {each.work: each.given_up for each in queues(tx) if each.given_up} == {"commands": 1}


def test_a_build_that_was_sent_again_meanwhile_is_left_alone(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 0.0)
    [stored] = builds.claim_pending(tx, Lease("north", 1.0), 1)
    builds.advance(tx, stored, BuildState.STARTING, 1.0)
    builds.send_again(tx, BUILD.id, 2.0)
    assert builds.claim_pending(tx, Lease("south", 2.0), 1) == []
