"""How Bitbucket's REST API is called: as an account, within its budget, once more after a 401, page by page."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from attrs import frozen

from probo_bitbucket.bitbucket import scopes
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import Temporary
from probo_bitbucket.upstream import Answer, Upstream

T = TypeVar("T")

PAGE = 100  # entries; the most that Bitbucket gives at once
PAGES = 50  # pages followed of one listing


class Access(Protocol):
    """The right to call Bitbucket: an account's credentials and its budget of requests."""

    budget: Budget

    async def authorization(self) -> str:
        """The value of an Authorization header."""

    async def refused(self, authorization: str) -> bool:
        """Bitbucket answered 401 to this value. Returns whether another one can be had; may raise DeadCredentials."""

    def accepted(self) -> None:
        """Bitbucket let us in: it did what it was asked, or looked and found nothing."""


class Page(msgspec.Struct, Generic[T]):
    """One page of a listing."""

    values: list[T]
    next: str = ""


@frozen
class Caller:
    """Every call raises a kind of UpstreamError when it does not succeed."""

    upstream: Upstream
    base_url: str

    async def checked(
        self,
        access: Access,
        method: str,
        path: str,
        *,
        urgent: bool = True,
        json: Any = None,
        not_after: float = math.inf,
    ) -> Answer:
        """The answer to one request, whose status is 2xx. *path* is below the API's URL."""
        return scopes.checked(await self.call(access, method, path, urgent=urgent, json=json, not_after=not_after))

    async def read(self, access: Access, path: str, kind: type[T], *, urgent: bool = True) -> T:
        return decode(await self.checked(access, "GET", path, urgent=urgent), kind)

    async def pages(self, access: Access, path: str, kind: type[T], *, urgent: bool = True) -> AsyncIterator[T]:
        """The entries of a listing, from all of its pages; as long as *path* says, or else as long as can be."""
        url = path if "?" in path else f"{path}?pagelen={PAGE}"
        for _ in range(PAGES):
            page = await self.read(access, url, Page[kind], urgent=urgent)  # type: ignore[valid-type]
            for value in page.values:
                yield value
            url = self._beside(path, page.next)
            if not url:
                return

    def _beside(self, path: str, url: str) -> str:
        """The path of a link that stays where *path* is, or nothing: no other address gets our credentials."""
        place = f"{self.base_url}/{_place(path)}"
        if not url.startswith((f"{place}/", f"{place}?")):
            return ""
        return url.removeprefix(f"{self.base_url}/")

    async def call(
        self,
        access: Access,
        method: str,
        path: str,
        *,
        urgent: bool,
        json: Any = None,
        not_after: float = math.inf,
    ) -> Answer:
        """One request, and a second one with fresh credentials when the first is answered 401."""
        send = partial(self._send, access, method, path, urgent, json, not_after)
        authorization = await access.authorization()
        answer = await send(authorization)
        if answer.status == 401 and await access.refused(authorization):
            authorization = await access.authorization()
            answer = await send(authorization)
            if answer.status == 401:
                await access.refused(authorization)
        return answer

    async def _send(
        self, access: Access, method: str, path: str, urgent: bool, json: Any, not_after: float, authorization: str
    ) -> Answer:
        answer = await self.upstream.request(
            method,
            f"{self.base_url}/{path}",
            headers={"Authorization": authorization},
            json=json,
            whose=_place(path),
            pay=partial(access.budget.spend, urgent=urgent),
            not_after=not_after,
        )
        access.budget.learn(answer)
        if 200 <= answer.status < 300 or answer.status == 404:  # others come from whoever stands before it, too
            access.accepted()
        return answer


def _place(path: str) -> str:
    """repositories/{workspace}/{repository}, or workspaces/{workspace}/hooks."""
    return "/".join(path.split("/")[:3])


def decode(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise Temporary(f"{answer.upstream} answered {answer.status} with an unexpected document: {error}") from error
