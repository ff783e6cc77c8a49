"""The REST API of the simulated Bitbucket: what is below `/2.0`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probo_bitbucket.sandbox.api import account, hooks, pullrequests, source, statuses
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.gate import Gate

if TYPE_CHECKING:
    from klein.resource import KleinResource

    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud


def api(cloud: BitbucketCloud, gate: Gate) -> KleinResource:
    """Everything below `/2.0`."""
    routes = Routes(cloud, gate)
    for subject in (account, source, pullrequests, statuses, hooks):
        subject.add(routes)
    return routes.app.resource()
