"""Puts the parts of the simulated Bitbucket's site together by their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.resource import Resource

from probo_bitbucket.sandbox.api import api
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.oauth import oauth
from probo_bitbucket.sandbox.pages import pages
from probo_bitbucket.sandbox.server import Root
from probo_bitbucket.sandbox.templates import add_assets

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud


def site(cloud: BitbucketCloud) -> Resource:
    """The API below `/2.0`, OAuth below `/site/oauth2`, and pages everywhere else."""
    gate = Gate(cloud)
    root = Root(pages(cloud, gate))
    add_assets(root)
    root.putChild(b"2.0", api(cloud, gate))
    below_site = Resource()
    below_site.putChild(b"oauth2", oauth(cloud))
    root.putChild(b"site", below_site)
    return root
