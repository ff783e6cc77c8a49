"""Pull requests as they are shown: each with its newest build, and one with all of its builds.

Builds of one lane are of one pull request, whatever its repository was called when they were asked for.
"""

from __future__ import annotations

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import builds
from probo_bitbucket.store.views import builds as build_views
from probo_bitbucket.store.views.builds import LATEST_FIRST, BuildLine
from probo_bitbucket.store.views.filters import Filter
from probo_bitbucket.store.views.paging import Page


@frozen
class PullRequestStory:
    """A pull request, as its newest build knows it, and a page of its builds, the latest first."""

    newest: BuildLine
    builds: Page[BuildLine]


def page(tx: sa.Connection, wanted: Filter, after: str = "") -> Page[BuildLine]:
    """The newest build of each pull request, the latest first. Raises BadCursor."""
    newer = builds.alias("newer")
    later = sa.tuple_(newer.c.created_at, newer.c.id) > sa.tuple_(builds.c.created_at, builds.c.id)
    same = sa.and_(newer.c.lane == builds.c.lane, newer.c.pull_request == builds.c.pull_request)
    newest = sa.select(builds).where(builds.c.pull_request.is_not(None), ~sa.exists().where(same, later))
    return build_views.cut_builds(tx, newest.where(*build_views.matching(tx, wanted, after)))


def story(tx: sa.Connection, repository: str, number: int, after: str = "") -> PullRequestStory | None:
    """The pull request that had this name last, with its builds; None where none is known (any more).

    Raises BadCursor.
    """
    named = sa.select(builds.c.lane).where(builds.c.repository == repository, builds.c.pull_request == number)
    lane = tx.scalar(named.order_by(*LATEST_FIRST).limit(1))
    if lane is None:
        return None
    all_of_it = sa.select(builds).where(builds.c.lane == lane, builds.c.pull_request == number)
    latest = build_views.cut_builds(tx, all_of_it)
    further = build_views.matching(tx, Filter(), after)
    return PullRequestStory(latest.items[0], build_views.cut_builds(tx, all_of_it.where(*further)) if after else latest)
