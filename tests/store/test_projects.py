"""Project ids: for good, and nobody else's."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.model import Repository
from probo_bitbucket.store.projects import project_id


def test_an_id_has_the_old_form(tx: sa.Connection) -> None:
    assert project_id(tx, Repository("acme", "site", "{1}")) == "acme-site"


def test_an_id_stays_when_the_repository_is_renamed(tx: sa.Connection) -> None:
    project_id(tx, Repository("acme", "site", "{1}"))
    assert project_id(tx, Repository("acme", "shop", "{1}")) == "acme-site"


def test_two_repositories_never_share_an_id(tx: sa.Connection) -> None:
    first = project_id(tx, Repository("a-b", "c", "{1}"))
    second = project_id(tx, Repository("a", "b-c", "{2}"))
    assert first == "a-b-c"
    assert second.startswith("a-b-c-")
    assert project_id(tx, Repository("a", "b-c", "{2}")) == second


def test_a_new_repository_of_an_old_name_gets_an_id_of_its_own(tx: sa.Connection) -> None:
    project_id(tx, Repository("acme", "site", "{1}"))
    assert project_id(tx, Repository("acme", "site", "{2}")) != "acme-site"
