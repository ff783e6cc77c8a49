"""The routes: the webhook for Bitbucket, and what the Container Manager, the Reaper and the web app call.

A handler parses, calls one step, and answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast
from urllib.parse import unquote

import msgspec
from attrs import define, evolve
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import IResource
from werkzeug.exceptions import NotFound

from probo_bitbucket.bodies import BodyError, clean, decode
from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.builds.lookup import Lookup
from probo_bitbucket.flow.builds.relay import Relay
from probo_bitbucket.flow.builds.requests import HashRequests
from probo_bitbucket.flow.credentials.accounts import NotOurs
from probo_bitbucket.flow.deliveries.intake import Intake
from probo_bitbucket.flow.forwarding.providers import Providers
from probo_bitbucket.flow.forwarding.trail import GoingRound
from probo_bitbucket.flow.oversight.health import Health
from probo_bitbucket.flow.oversight.measuring import Measuring
from probo_bitbucket.metrics import CONTENT_TYPE
from probo_bitbucket.model import Delivery, InvalidName, Repository
from probo_bitbucket.probo import updates
from probo_bitbucket.probo.handlers import TRAIL
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.web.answers import BodyTooLarge, answer, error_answer
from probo_bitbucket.web.browsers import OwnPages, Route
from probo_bitbucket.web.forms import decoded
from probo_bitbucket.web.pages import ASSETS_PATH, asset
from probo_bitbucket.web.setup import SetupPages

DELIVERY_LIMIT = 1024 * 1024  # bytes, inflated; Bitbucket sends 256 KB at most
UUID_LIMIT = 255  # characters that are kept of a repository's uuid

# What the Reaper is told. A state that is not known here is none: the Reaper destroys what is closed.
_REAPER_STATES = {"OPEN": "open", "MERGED": "closed", "DECLINED": "closed", "SUPERSEDED": "closed"}


class _Project(msgspec.Struct):
    slug: str
    provider_id: str = ""


class _HashBody(msgspec.Struct):
    """`POST /builds/hash`."""

    project: _Project
    sha: str


@define(eq=False, slots=False)
class App:
    """All routes, on the steps that do their work."""

    intake: Intake
    relay: Relay
    providers: Providers
    lookup: Lookup
    hash_requests: HashRequests
    health: Health
    measuring: Measuring
    dashboard: Sequence[Route]  # its pages, and the API
    own_pages: OwnPages
    setup: SetupPages | None  # none where a coordinator has the credentials
    clock: IReactorTime

    def public(self, webhook_url: str) -> IResource:
        """What Bitbucket calls."""
        return _resource([("POST", webhook_url, self.webhook)])

    def internal(self) -> IResource:
        """Everything else: only for those whom the gate lets in."""
        for_programs: tuple[Route, ...] = (
            ("POST", "/builds/<build_id>/status/<context>", self.status),
            ("POST", "/update", self.update),
            ("POST", "/builds/hash", self.build_hash),
            ("GET", "/auth_lookup", self.auth_lookup),
            ("GET", "/pull-request/<owner>/<repo>/<number>", self.pull_request),
            ("GET", "/branches/<owner>/<repo>", self.branches),
            ("GET", "/commits/<owner>/<repo>", self.commits),
            ("GET", "/healthz", self.alive),
            ("GET", "/readyz", self.ready),
            ("GET", "/metrics", self.measure),
        )
        return _resource(
            [
                *map(self.own_pages.of_programs, for_programs),
                ("GET", f"{ASSETS_PATH}/<name>", self.asset),  # the same for everybody
                *self.dashboard,
                *(self.setup.routes if self.setup else ()),
            ]
        )

    def invites(self, request: Request) -> bool:
        """Whether the set-up page takes a request whose address is not let in."""
        return self.setup is not None and self.setup.admits(request)

    async def webhook(self, request: Request) -> bytes:
        delivery = Delivery(
            event_key=_header(request, "x-event-key"),
            body=_body(request),
            received_at=self.clock.seconds(),
            hook_uuid=_header(request, "x-hook-uuid").strip("{}"),
            request_uuid=_header(request, "x-request-uuid"),
            attempt=_attempt(_header(request, "x-attempt-number")),
        )
        tell_client = cast(Any, request).tell_client
        signed = await self.intake.check(delivery, _header(request, "x-hub-signature"), tell_client)
        await self.intake.accept(evolve(delivery, body=_inflated(request, delivery.body)), signed=signed)
        return answer(request, 200, {"ok": True})

    async def status(self, request: Request, build_id: str, context: str) -> bytes:
        return await self._relay(request, unquote(build_id), unquote(context))

    async def update(self, request: Request) -> bytes:
        return await self._relay(request)

    async def _relay(self, request: Request, build_id: str = "", context: str = "") -> bytes:
        body = _body(request)
        reported = updates.read(body, build_id=build_id, context=context)
        if await self.providers.accept(
            reported, _target(request), _header(request, "content-type"), body, _trail(request)
        ):
            update = reported.update
            said = {"state": update.state, "description": update.description, "context": update.context}
            return answer(request, 200, said)
        status = await self.relay.accept(reported)
        shown = {
            "state": status.state,
            "description": status.description,
            "key": status.key,
            "url": status.url,
            "name": status.name,
        }
        return answer(request, 200, shown)

    async def auth_lookup(self, request: Request) -> bytes:
        """Always a JSON object: anything else ends the Container Manager's process, or hangs its build."""
        kind = _argument(request, "type")
        if kind in self.providers.handlers:
            return await self._pass_on(request, kind)
        if kind not in ("", "bitbucket"):
            raise BodyError(f"this handler has no tokens for the provider {kind[:80]!r}")
        token = await self.lookup.access_token(_required(request, "refreshToken"))
        return answer(request, 200, {"access_token": token, "token_type": "bearer"})

    async def pull_request(self, request: Request, owner: str, repo: str, number: str) -> bytes:
        """`state` is null where it is not known: the Reaper looks at nothing else, and destroys what is closed."""
        try:
            full_name = f"{decoded(owner)}/{decoded(repo)}"  # of any provider
            if provider := await self.providers.of_repository(full_name, _argument(request, "provider_id")):
                return await self._pass_on(request, provider)
            return answer(request, 200, await self._pull_request(request, owner, repo, number))
        except (UpstreamError, StoreUnavailable, GoingRound, NotOurs, InvalidName, BodyError):
            failure = Failure()
            error_answer(request, failure)
            return answer(request, request.code, {"error": str(failure.value), "state": None})

    async def _pass_on(self, request: Request, provider: str) -> bytes:
        """What another handler says to the same question."""
        answered = await self.providers.ask(provider, _target(request), _trail(request))
        return answer(request, answered.status, msgspec.Raw(answered.body))

    async def _pull_request(self, request: Request, owner: str, repo: str, number: str) -> dict[str, Any]:
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise BodyError("the number of the pull request must be a whole number")
        found = await self.lookup.pull_request(
            _repository(owner, repo), int(number), _argument(request, "refreshToken")
        )
        return {
            "id": found.number,
            "number": found.number,
            "state": _REAPER_STATES.get(found.state),
            "url": found.url,
            "title": found.title,
            "userName": found.author,
            "userId": found.author_id,
        }

    async def branches(self, request: Request, owner: str, repo: str) -> bytes:
        found = await self.lookup.branches(_repository(owner, repo), _argument(request, "refreshToken"))
        return answer(request, 200, found)

    async def commits(self, request: Request, owner: str, repo: str) -> bytes:
        found = await self.lookup.commits(
            _repository(owner, repo), _argument(request, "sha"), _argument(request, "refreshToken")
        )
        return answer(request, 200, found)

    async def alive(self, request: Request) -> bytes:
        """The process answers."""
        return answer(request, 200, {"ok": True})

    async def ready(self, request: Request) -> bytes:
        """200 while deliveries are dealt with, or else 503; with what was looked at, troubles first."""
        findings = await self.health.look()
        ok = not any(finding.trouble for finding in findings)
        return answer(request, 200 if ok else 503, {"ok": ok, "findings": findings})

    async def measure(self, request: Request) -> bytes:
        """For Prometheus, in its text format."""
        request.setHeader(b"content-type", CONTENT_TYPE.encode())
        return await self.measuring.text()

    async def asset(self, request: Request, name: str) -> bytes:
        """A file that goes with the pages."""
        body = asset(request, name)
        if body is None:
            raise NotFound
        return body

    async def build_hash(self, request: Request) -> bytes:
        wanted = decode(_body(request), _HashBody, BodyError)
        project = wanted.project
        return answer(
            request,
            200,
            await self.hash_requests.start(project.slug, clean(project.provider_id, UUID_LIMIT), wanted.sha),
        )


def _resource(routes: Iterable[tuple[str, str, Callable[..., Any]]]) -> IResource:
    klein = Klein()
    for method, path, handler in routes:
        klein.route(path, methods=[method], endpoint=handler.__name__)(handler)
    klein.handle_errors(Exception)(error_answer)  # type: ignore[arg-type]
    return cast(IResource, klein.resource())


def _header(request: Request, name: str, length: int | None = 100) -> str:
    # Asked for by a text, Twisted decodes what came as UTF-8, and fails where it is none.
    return (request.getHeader(name.encode()) or b"").decode("latin-1").replace("\0", "")[:length]


def _trail(request: Request) -> str:
    """The whole of it: our own mark may be the last."""
    return _header(request, TRAIL.lower(), None)


def _attempt(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 1


def _body(request: Request) -> bytes:
    return cast(Any, request).content.read()  # type: ignore[no-any-return]


def _target(request: Request) -> str:
    """Path and query as they came in, but for the token that lets a caller in."""
    _, mark, query = request.uri.partition(b"?")
    return (request.path + mark + query).decode("latin-1")


def _inflated(request: Request, body: bytes) -> bytes:
    """The body that was sent as *body*. Raises BodyTooLarge or BodyError."""
    encoding = (_header(request, "content-encoding") or "identity").lower()
    if encoding == "gzip":
        body = _gunzip(body)
    elif encoding != "identity":
        raise BodyError(f"the content encoding {encoding[:40]!r} is not understood")
    if len(body) > DELIVERY_LIMIT:
        raise BodyTooLarge(f"the body has more than {DELIVERY_LIMIT} bytes")
    return body


def _gunzip(body: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        inflated = stream.decompress(body, DELIVERY_LIMIT + 1)  # a few KB can inflate to gigabytes
    except zlib.error as error:
        raise BodyError(f"the body is not gzip: {error}") from error
    if not stream.eof and len(inflated) <= DELIVERY_LIMIT:
        raise BodyError("the body is not gzip: it ends too early")
    return inflated


def _argument(request: Request, name: str) -> str:
    values = cast(Any, request).args.get(name.encode(), [b""])
    return cast(bytes, values[0]).decode("utf-8", "replace")


def _required(request: Request, name: str) -> str:
    value = _argument(request, name)
    if not value:
        raise BodyError(f"Missing required query param: {name}")
    return value


def _repository(owner: str, repo: str) -> Repository:
    return Repository.parse(f"{unquote(owner)}/{unquote(repo)}")
