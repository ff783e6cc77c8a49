"""Project ids: the old form where nobody else has it, else with something short and stable added."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from probo_bitbucket.model import Repository
from probo_bitbucket.store.schema import projects
from probo_bitbucket.store.sql import insert


def project_id(tx: sa.Connection, repository: Repository) -> str:
    """The id that this repository has at the Container Manager for good. It names containers and asset buckets.

    `a-b/c` and `a/b-c` would both be `a-b-c`: the second one to come gets a suffix.
    """
    _adopt(tx, repository)
    known = tx.scalar(sa.select(projects.c.id).where(projects.c.repository == repository.identity))
    if known is not None:
        return str(known)
    plain = repository.full_name.replace("/", "-")
    suffix = hashlib.sha256(repository.identity.encode()).hexdigest()[:6]
    for candidate in (plain, f"{plain}-{suffix}"):
        tx.execute(insert(tx, projects).values(id=candidate, repository=repository.identity).on_conflict_do_nothing())
        if tx.scalar(sa.select(projects.c.repository).where(projects.c.id == candidate)) == repository.identity:
            return candidate
    raise RuntimeError(f"two repositories have the project id {plain}-{suffix}")


def _adopt(tx: sa.Connection, repository: Repository) -> None:
    """Let the project that was made before the uuid was known be that of the uuid, unless it has one already."""
    taken = sa.select(projects.c.id).where(projects.c.repository == repository.identity)
    if repository.uuid and tx.scalar(taken) is None:
        by_name = projects.c.repository == repository.full_name
        tx.execute(sa.update(projects).where(by_name).values(repository=repository.identity))
