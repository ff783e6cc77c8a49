"""Webhooks of the simulated Bitbucket, and how it delivers them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from uuid import uuid4

import treq
from attrs import Factory, define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed
from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

PATIENCE = 10.0  # seconds that the receiver has
ATTEMPTS = 3
BROKEN_OFF = (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed)  # by when it happens
LARGEST_BODY = 256 * 1024  # bytes
LONGEST_SECRET = 128  # characters
MOST_HOOKS = 50  # of a repository or a workspace

# What a hook can be told of, as Bitbucket's page calls it.
EVENTS = {
    "pullrequest:created": "Pull request: Created",
    "pullrequest:updated": "Pull request: Updated",
    "pullrequest:push": "Pull request: Push",
    "pullrequest:approved": "Pull request: Approved",
    "pullrequest:unapproved": "Pull request: Approval removed",
    "pullrequest:fulfilled": "Pull request: Merged",
    "pullrequest:rejected": "Pull request: Declined",
    "pullrequest:comment_created": "Pull request: Comment created",
    "pullrequest:comment_updated": "Pull request: Comment updated",
    "pullrequest:comment_deleted": "Pull request: Comment deleted",
    "repo:push": "Repository: Push",
    "repo:fork": "Repository: Fork",
    "repo:commit_status_created": "Repository: Build status created",
    "repo:commit_status_updated": "Repository: Build status updated",
}


@define(eq=False)
class Hook:
    """Who wants to hear of which events. Without a secret deliveries are not signed."""

    url: str
    events: frozenset[str]
    secret: str = field(default="", repr=False)
    description: str = ""
    active: bool = True
    uuid: str = Factory(lambda: f"{{{uuid4()}}}")


@frozen
class Attempt:
    """One try to deliver. *status* is None where there was no answer in time."""

    number: int
    request_uuid: str
    status: int | None
    answer: bytes = b""


@define(eq=False)
class Delivery:
    """An event on its way to a hook, and what became of it."""

    hook: Hook
    event: str
    body: bytes
    dropped: str = ""  # why it was never sent
    attempts: list[Attempt] = Factory(list)

    @property
    def status(self) -> int | None:
        """The last answer."""
        return self.attempts[-1].status if self.attempts else None


class Deliveries:
    """Delivers events: at once, all at the same time, in no order, each until it is answered or given up."""

    def __init__(self, clock: IReactorTime) -> None:
        self.journal: list[Delivery] = []
        self.drop_every = 0  # drop every n-th silently; 0: none
        self.twice = False  # deliver everything two times
        self.keep_request_uuid = True  # whether X-Request-UUID stays the same in all attempts
        self.on_attempt: Callable[[Delivery, Attempt], None] = lambda _, __: None
        self.agent: IAgent | None = None
        self._clock = clock
        self._numbers = count(1)
        self._held: list[Delivery] | None = None
        self._in_flight: set[Deferred[None]] = set()
        self._waiting: list[Deferred[None]] = []
        self._stopped = False

    def deliver(self, hooks: Iterable[Hook], event: str, document: Mapping[str, object]) -> None:
        """Send *document* to each of *hooks* that wants to hear of *event*."""
        body = json.dumps(document).encode()
        for hook in hooks:
            if hook.active and event in hook.events:
                for _ in range(2 if self.twice else 1):
                    self._post(Delivery(hook, event, body))

    def hold(self) -> None:
        """Keep deliveries back until `release`."""
        self._held = []

    def release(self, *, reverse: bool = False) -> None:
        """Send what was kept back, one after the other, the newest first if *reverse*."""
        held, self._held = self._held or [], None
        self._start(*(reversed(held) if reverse else held))

    def again(self, delivery: Delivery) -> None:
        """Send a delivery once more, as somebody who presses Resend does."""
        self._post(Delivery(delivery.hook, delivery.event, delivery.body))

    def settled(self) -> Deferred[None]:
        """Fires when nothing is being delivered."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._check_settled()
        return waiting

    async def stop(self) -> None:
        """Give up what is being delivered."""
        self._stopped = True
        for sending in list(self._in_flight):
            sending.cancel()
        await self.settled()

    def _post(self, delivery: Delivery) -> None:
        self.journal.append(delivery)
        if len(delivery.body) > LARGEST_BODY:
            delivery.dropped = f"{len(delivery.body)} bytes"
        elif self.drop_every and next(self._numbers) % self.drop_every == 0:
            delivery.dropped = f"every delivery number {self.drop_every} is"
        elif self._held is not None:
            self._held.append(delivery)
        else:
            self._start(delivery)

    def _start(self, *deliveries: Delivery) -> None:
        if self.agent is None:
            raise RuntimeError("deliveries need an agent: listen first")
        sending = ensureDeferred(self._send_in_turn(deliveries))
        self._in_flight.add(sending)
        sending.addErrback(lambda reason: reason.trap(CancelledError, ConnectingCancelledError) and None)
        sending.addBoth(self._ended, sending)

    def _ended(self, result: None, sending: Deferred[None]) -> None:
        self._in_flight.discard(sending)
        self._check_settled()
        return result

    def _check_settled(self) -> None:
        while not self._in_flight and self._waiting:
            self._waiting.pop().callback(None)

    async def _send_in_turn(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            await self._send(delivery)

    async def _send(self, delivery: Delivery) -> None:
        """Only a 5xx and no answer are tried again, and at once."""
        request_uuid = str(uuid4())
        for number in range(1, ATTEMPTS + 1):
            attempt = await self._attempt(delivery, number, request_uuid)
            delivery.attempts.append(attempt)
            self.on_attempt(delivery, attempt)
            answered = attempt.status is not None and attempt.status < INTERNAL_SERVER_ERROR
            if answered or self._stopped:
                return
            if not self.keep_request_uuid:
                request_uuid = str(uuid4())

    async def _attempt(self, delivery: Delivery, number: int, request_uuid: str) -> Attempt:
        headers = _headers(delivery, number, request_uuid)
        exchange = ensureDeferred(self._exchange(delivery, headers))
        exchange.addTimeout(PATIENCE, self._clock)
        try:
            status, answer = await exchange
        except (TimeoutError, ConnectError, ConnectionClosed, *BROKEN_OFF):
            return Attempt(number, request_uuid, None)
        return Attempt(number, request_uuid, status, answer)

    async def _exchange(self, delivery: Delivery, headers: Mapping[str, str]) -> tuple[int, bytes]:
        response = await treq.request(
            "POST",
            delivery.hook.url,
            data=delivery.body,
            headers=Headers({name: [value] for name, value in headers.items()}),
            agent=self.agent,
            allow_redirects=False,
        )
        return response.code, await response.content()


def _headers(delivery: Delivery, number: int, request_uuid: str) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Bitbucket-Webhooks/2.0",
        "X-Event-Key": delivery.event,
        "X-Hook-UUID": delivery.hook.uuid.strip("{}"),
        "X-Request-UUID": request_uuid,
        "X-Attempt-Number": str(number),
    }
    if delivery.hook.secret:
        headers["X-Hub-Signature"] = sign(delivery.body, delivery.hook.secret)
    return headers


def sign(body: bytes, secret: str) -> str:
    """The X-Hub-Signature of *body*."""
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
