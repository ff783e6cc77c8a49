"""The state of simulated repositories, without a server."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.sandbox.bitbucket import BitbucketCloud
from probo_bitbucket.sandbox.repository import NoSuchCommit


@pytest.fixture
def cloud() -> BitbucketCloud:
    return BitbucketCloud(Clock())


def test_every_commit_has_a_hash_of_its_own(cloud: BitbucketCloud) -> None:
    site, other = cloud.add_repository("acme/site"), cloud.add_repository("acme/other")
    hashes = [repository.push("main", {}, "Same").hash for repository in (site, site, other)]
    assert len({*hashes}) == 3
    assert {len(each) for each in hashes} == {40}


def test_a_commit_keeps_the_files_of_its_parent(cloud: BitbucketCloud) -> None:
    site = cloud.add_repository("acme/site", {"a": b"1"})
    assert {"a", "b"} <= site.push("main", {"b": b"2"}).files.keys()


def test_a_fork_is_merged_with_all_its_commits(cloud: BitbucketCloud) -> None:
    site = cloud.add_repository("acme/site")
    fork = cloud.fork(site, "robin/site")
    pull_request = site.open_pull_request(branch="b", source=fork, files={"a": b"1"})
    pull_request.push({"b": b"2"})
    with pytest.raises(NoSuchCommit):
        site.commit(pull_request.commit)
    merged = pull_request.merge()
    assert {"a", "b"} <= merged.files.keys()
    assert [commit.hash for commit in site.history(merged)][1] == pull_request.commit
    assert len(site.history(merged)) == 4


def test_a_merged_pull_request_keeps_its_head_when_the_branch_moves_on(cloud: BitbucketCloud) -> None:
    site = cloud.add_repository("acme/site")
    pull_request = site.open_pull_request(branch="b")
    head = pull_request.commit
    pull_request.merge()
    site.push("b", {})
    assert pull_request.commit == head


def test_short_hashes_must_be_long_enough(cloud: BitbucketCloud) -> None:
    site = cloud.add_repository("acme/site")
    head = site.branches["main"]
    assert site.commit(head[:7]).hash == head
    with pytest.raises(NoSuchCommit):
        site.commit(head[:6])
