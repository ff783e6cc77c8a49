"""Puts the parts of the simulated Bitbucket's site together by their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from probo_bitbucket.sandbox.api import api
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.oauth import oauth
from probo_bitbucket.sandbox.pages import pages

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud


def site(cloud: BitbucketCloud) -> Resource:
    """The API below `/2.0`, OAuth below `/site/oauth2`, and pages everywhere else."""
    gate = Gate(cloud)
    root = _Root(pages(cloud, gate))
    root.putChild(b"2.0", api(cloud, gate))
    below_site = Resource()
    below_site.putChild(b"oauth2", oauth(cloud))
    root.putChild(b"site", below_site)
    return root


class _Root(Resource):
    """Gives what is not a child's to *pages*, with the whole path."""

    def __init__(self, pages: IResource) -> None:
        super().__init__()
        self._pages = pages

    def getChild(self, path: bytes, request: Request) -> IResource:
        request.postpath = [path, *(request.postpath or [])]
        request.prepath = []
        return self._pages
