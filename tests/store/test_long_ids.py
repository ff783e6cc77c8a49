"""Names that others made up can be long: what can be written down of them is, on both engines."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.model import (
    BUILD_ID,
    Build,
    BuildKind,
    ForwardedUpdate,
    RemovalReason,
    Repository,
    Status,
    StatusState,
)
from probo_bitbucket.store import Lease, builds, forwarded, removals, statuses
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.store.statuses import Wish

LONGEST = "ä" * BUILD_ID


def test_a_status_of_a_build_with_the_longest_id_is_written_down(tx: sa.Connection) -> None:
    site = Repository("acme", "site", "{site}")
    status = Status(site, "a" * 40, "key", StatusState.INPROGRESS, "Probo", "", "https://example.org/")
    statuses.desire(tx, Wish(LONGEST, "context", status, {}, settled=False), None, 0.0)
    assert [stored.desired for stored in statuses.of_build(tx, LONGEST)] == [status]


def test_a_build_with_the_longest_id_can_be_wanted_no_more(tx: sa.Connection) -> None:
    removals.want(tx, Removal(LONGEST, "acme/site", 1, RemovalReason.CLOSED, "closed"), 0.0)
    assert removals.is_wanted(tx, LONGEST)


def test_a_build_is_made_whatever_asked_for_it(tx: sa.Connection) -> None:
    site, last = Repository("acme", "site", "{site}"), 2**63 - 1
    origin = f"rebuild of comment {last} of delivery {last}"
    build = Build("b-1", BuildKind.BRANCH, site, site, "a" * 40, "Change", 0.0, "main", origin=origin)
    builds.request(tx, build, 0.0)
    builds.ended(tx, "b-1", origin)
    removals.want(tx, Removal("b-1", "acme/site", None, RemovalReason.CLOSED, "closed", origin), 0.0)
    assert builds.asked_for_by(tx, origin) == "b-1"


def test_an_update_for_another_handler_is_written_down_whatever_its_context(tx: sa.Connection) -> None:
    context = "".join(chr(0x4E00 + number) for number in range(4000))  # which PostgreSQL cannot make shorter
    update = ForwardedUpdate("github", "b-1", context, "acme/site", "/update", "application/json", b"{}", 0.0, "")
    forwarded.record(tx, update)
    [claimed] = forwarded.claim_pending(tx, Lease("north", 1.0), 1)
    assert claimed.update.context == context
