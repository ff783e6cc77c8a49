"""How what ours is compared with is served."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.web.resource import IResource
from twisted.web.server import Site


def serve(resource: IResource, port: int) -> None:
    """Answer at *port* until the process is ended.

    Without an access log: Node writes none, and what the bare route takes elsewhere was measured without one.
    """
    site = Site(resource, parsePOSTFormSubmission=False)
    site.log = lambda _request: None  # type: ignore[method-assign, assignment]
    cast(Any, reactor).listenTCP(port, site, backlog=512, interface="127.0.0.1")
    cast(Any, reactor).run()
