"""How what ours is compared with is served."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.web.resource import IResource
from twisted.web.server import Site

from probo_bitbucket.web.site import CONNECTION_LIMIT


def serve(resource: IResource, port: int) -> None:
    """Answer at *port* until the process is ended.

    Without an access log: the Node handlers have none, and what the bare route takes elsewhere was measured without.
    """
    site = Site(resource, parsePOSTFormSubmission=False)
    site.log = lambda _request: None  # type: ignore[method-assign, assignment]
    # As many may wait to be let in as at the daemon's own port.
    cast(Any, reactor).listenTCP(port, site, backlog=CONNECTION_LIMIT, interface="127.0.0.1")
    cast(Any, reactor).run()
