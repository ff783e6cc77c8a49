"""How the baselines are served."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.web.resource import IResource
from twisted.web.server import Site


def serve(resource: IResource, port: int) -> None:
    """Answer at *port* until the process is ended: without an access log, as the Node handlers do."""
    site = Site(resource, parsePOSTFormSubmission=False)
    site.log = lambda _request: None  # type: ignore[method-assign, assignment]
    cast(Any, reactor).listenTCP(port, site, interface="127.0.0.1")
    cast(Any, reactor).run()
