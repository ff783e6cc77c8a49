"""Projects: what a repository is called at the Container Manager."""

from __future__ import annotations

from typing import Any, cast

from probo_bitbucket.flow.credentials.projects import OwnProjects
from probo_bitbucket.model import Build, BuildKind, Repository
from tests.immediate import ImmediateStore, result_of, start


def test_a_repository_is_looked_up_once_and_told_by_its_present_name(store: ImmediateStore) -> None:
    projects = OwnProjects(store, cast(Any, None), hand_out_tokens=False)

    def told(name: str) -> dict[str, Any]:
        site = Repository("acme", name, "{site}")
        build = Build("b-1", BuildKind.HASH, site, site, "a" * 40, "n", 0.0)
        return cast(dict[str, Any], result_of(start(projects.of(build))))

    first = told("site")
    store.down = True
    renamed = told("renamed")
    assert (first["id"], first["slug"]) == ("acme-site", "acme/site")
    assert (renamed["id"], renamed["slug"]) == ("acme-site", "acme/renamed")
