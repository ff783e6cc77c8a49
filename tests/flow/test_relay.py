"""What is added to an update of the Container Manager."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.flow.display import Display
from probo_bitbucket.flow.ending import Ending
from probo_bitbucket.flow.relay import Relay
from probo_bitbucket.flow.watch import QUIET
from probo_bitbucket.model import Build, BuildKind, BuildState, Repository
from probo_bitbucket.probo import updates
from probo_bitbucket.store import Lease, builds, watches
from tests.immediate import ImmediateStore, run

SITE = Repository("acme", "site")


@pytest.mark.parametrize(
    ("context", "shown"),
    [("Acme/env", "No access token. [■] it failed"), ("Acme/Shell/Test", "[■] it failed")],
)
def test_why_a_download_failed_is_told_where_the_download_is(
    store: ImmediateStore, clock: Clock, context: str, shown: str
) -> None:
    """A build that is run again later, with a token, can fail for reasons of its own."""
    store.now(builds.request, Build("b-1", BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", 1.0), 1.0)
    store.now(builds.conclude, "b-1", BuildState.RUNNING, 1.0)
    store.now(builds.explain, "b-1", "No access token.")
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)
    body = {"update": {"state": "error", "description": "[■] it failed"}, "build": {"id": "b-1"}}
    reported = updates.read(json.dumps(body).encode(), build_id="b-1", context=context)
    assert run(relay.accept(reported)).description == shown


def test_a_build_of_which_something_is_told_is_asked_about_when_it_is_quiet(
    store: ImmediateStore, clock: Clock
) -> None:
    """Also one that another handler asked for."""
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)
    body = {
        "update": {"state": "running", "description": "[▶] The hamsters"},
        "build": {"id": "b-1", "project": {"slug": "acme/site"}, "commit": {"ref": "d96c25c4ae50"}},
    }
    run(relay.accept(updates.read(json.dumps(body).encode(), build_id="b-1", context="Acme/env")))
    assert store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET - 1), 1) == []
    [watched] = store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET), 1)
    assert (watched.build_id, watched.repository, watched.heard_at) == ("b-1", "acme/site", clock.seconds())
