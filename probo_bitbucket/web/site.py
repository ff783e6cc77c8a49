"""The HTTP server's outer skin: what it takes at all, and what it tells of itself."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from probo_bitbucket.web.answers import answer

BODY_LIMIT = 4 * 1024 * 1024  # bytes; the Container Manager sends the whole build with every status
IDLE = 60.0  # seconds that a client may be silent

_log = Logger()


class BoundedRequest(Request):
    """Keeps no more than BODY_LIMIT bytes of a body, and knows whether there were more."""

    _received = 0

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > BODY_LIMIT:
            self.content = BytesIO()  # nothing of it will be kept: no need for Twisted's temporary file
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if not self.too_large:  # the rest is listened to all the same: whoever is cut off gets no answer
            super().handleContentChunk(data)

    @property
    def too_large(self) -> bool:
        return self._received > BODY_LIMIT


class Door(Resource):
    """Gives Klein what it can cope with: no body that is too large, and the path with its segments still encoded.

    Klein decodes first and splits then, so that a context `Acme%2FShell%2FHello` would look like three segments.
    """

    isLeaf = True

    def __init__(self, inner: IResource) -> None:
        super().__init__()
        self._inner = inner

    def render(self, request: IRequest) -> Any:
        bounded = cast(BoundedRequest, request)
        bounded.setHeader(b"server", b"probo-bitbucket")
        if bounded.too_large:
            return answer(bounded, 413, {"error": f"the body has more than {BODY_LIMIT} bytes"})
        # Werkzeug fails at a host that is none, and no route depends on it.
        bounded.requestHeaders.setRawHeaders(b"host", [b"localhost"])
        bounded.postpath = bounded.path.removeprefix(b"/").split(b"/")
        return self._inner.render(bounded)


class QuietSite(Site):
    """Logs a request as one event for debugging. Never its query: refresh tokens travel there."""

    def log(self, request: Request) -> None:  # type: ignore[override]
        _log.debug(
            "Request answered",
            event="http.answered",
            client=request.getClientAddress(),
            method=request.method.decode("latin-1"),
            path=request.path.decode("latin-1"),
            status=request.code,
        )


def make_site(resource: IResource) -> Site:
    # Twisted would look for form fields in every body, which takes longer than all the rest of a request.
    return QuietSite(Door(resource), requestFactory=BoundedRequest, timeout=IDLE, parsePOSTFormSubmission=False)
