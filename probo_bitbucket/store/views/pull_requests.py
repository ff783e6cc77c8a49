"""Pull requests as they are shown: each with its newest build, and one with all of its builds."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import builds
from probo_bitbucket.store.views import builds as build_views
from probo_bitbucket.store.views.builds import BuildLine
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
    same = sa.and_(newer.c.repository == builds.c.repository, newer.c.pull_request == builds.c.pull_request)
    newest = sa.select(builds).where(builds.c.pull_request.is_not(None), ~sa.exists().where(same, later))
    return build_views.cut_builds(tx, newest.where(*build_views.matching(tx, wanted, after)))


def story(tx: sa.Connection, repository: str, number: int, after: str = "") -> PullRequestStory | None:
    """A pull request with its builds; None where none of them is known (any more). Raises BadCursor."""
    wanted = Filter(repository=repository, pull_request=number)
    latest = build_views.page(tx, wanted)
    if not latest.items:
        return None
    return PullRequestStory(latest.items[0], build_views.page(tx, wanted, after) if after else latest)
