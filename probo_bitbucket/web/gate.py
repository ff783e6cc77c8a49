"""The gate: in front of every route. What is not the webhook is internal, and closed unless the rules open it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from probo_bitbucket.web.access import Address, Headers, Rules, peer_address
from probo_bitbucket.web.answers import answer
from probo_bitbucket.web.pages import forbidden, from_browser
from probo_bitbucket.web.site import BODY_LIMIT

TOLD_PATH = 200  # characters of a path that the log tells

_log = Logger()

# Werkzeug fails at other hosts than these.
_HOST = re.compile(rb"(?:[A-Za-z0-9_-]{1,63}\.){0,20}[A-Za-z0-9_-]{1,63}(?::\d{1,5})?")
_IPV6 = re.compile(rb"\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")


@frozen
class Rooms:
    """What is behind a gate: the webhook, the internal routes, or both.

    *invited* tells whether a request may use the internal routes wherever it comes from.
    """

    webhook_path: str
    webhook: IResource | None = None
    internal: IResource | None = None
    invited: Callable[[Any], bool] = lambda _: False


class Shut(Resource):
    """In place of a gate that nobody goes through any more: whoever asks has to connect elsewhere, or later."""

    isLeaf = True

    def render(self, request: IRequest) -> bytes:
        cast(Any, request).setHeader(b"connection", b"close")
        return answer(cast(Any, request), 503, {"error": "this port is closed"})


class Gate(Resource):
    """Lets requests through to where they want, or refuses them all alike: only the log tells why.

    Also gives Klein what it can cope with: no body that is too large, and the path with its segments still encoded.
    Klein decodes first and splits then, so that a context `Acme%2FShell%2FHello` would look like three segments.
    """

    isLeaf = True

    def __init__(self, rooms: Rooms, rules: Rules) -> None:
        super().__init__()
        self.rooms = rooms
        self._rules = rules
        self._in_hand: set[Deferred[None]] = set()

    def render(self, request: IRequest) -> Any:
        wanted = cast(Any, request)
        wanted.setHeader(b"server", b"probo-bitbucket")
        peer, headers = peer_address(wanted.getClientAddress()), wanted.requestHeaders
        right_token, wanted.path = self._rules.token_in(wanted.path)
        wanted.tell_client = partial(self._tell_client, peer, headers)
        room: IResource | None
        if self.rooms.webhook and self._is_webhook(wanted):
            room, objection = self.rooms.webhook, self._rules.objection_to_delivery(peer, headers)
        else:
            room, objection = self.rooms.internal, self._objection(wanted, right_token, peer)
        if room is None or objection:
            return self._refuse(wanted, objection or "internal routes are at another port (`internalListen`)")
        if wanted.too_large:
            return answer(wanted, 413, {"error": f"the body has more than {BODY_LIMIT} bytes"})
        host = wanted.getHeader(b"host") or b""
        if not _HOST.fullmatch(host):
            headers.setRawHeaders(b"host", [b"localhost" if not host or _IPV6.fullmatch(host) else b"host.invalid"])
        wanted.postpath = wanted.path.removeprefix(b"/").split(b"/")
        self._note(wanted.notifyFinish())
        return room.render(request)

    def at_rest(self) -> Deferred[None]:
        """Fires when all requests are answered, or their clients gone: also those that came in meanwhile."""
        return Deferred.fromCoroutine(self._emptied())

    async def _emptied(self) -> None:
        while self._in_hand:
            await DeferredList(list(self._in_hand))

    def _note(self, finished: Deferred[None]) -> None:
        self._in_hand.add(finished)
        finished.addBoth(lambda _: self._in_hand.discard(finished))

    def _objection(self, request: Any, right_token: bool | None, peer: Address | None) -> str:
        if right_token is None:
            objection = self._rules.objection(peer, request.requestHeaders)
        else:
            objection = "" if right_token else "the token in its path is wrong"
        request.internal = not objection
        return "" if objection and self.rooms.invited(request) else objection

    def _is_webhook(self, request: Any) -> bool:
        """Who asks for `/` without posting wants the dashboard, also where the webhook is there."""
        path = self.rooms.webhook_path.encode()
        return bool(request.path == path and (request.method == b"POST" or path != b"/"))

    def _tell_client(self, peer: Address | None, headers: Headers) -> str:
        return ", ".join(str(origin or "unknown") for origin in self._rules.origins(peer, headers))

    def _refuse(self, request: Any, objection: str) -> bytes:
        _log.warn(
            "Request refused",
            event="http.forbidden",
            client=request.tell_client(),
            path=request.path[:TOLD_PATH].decode("latin-1"),
            reason=objection,
        )
        return forbidden(request) if from_browser(request) else answer(request, 403, {"error": "forbidden"})
