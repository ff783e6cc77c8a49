"""Forms on our own pages: each carries a token that only our pages know."""

from __future__ import annotations

from hmac import compare_digest

from attrs import define, field
from twisted.web.http import Request

from probo_bitbucket.logs import hide
from probo_bitbucket.store import Database, house
from probo_bitbucket.web.browsers import Stranger
from probo_bitbucket.web.forms import form


@define(eq=False)
class OwnForms:
    """The token is the same on all nodes, and after a restart: a page that is open stays good."""

    store: Database
    _token: str = field(default="", repr=False)

    async def token(self) -> str:
        if not self._token:
            self._token = await self.store.transact(house.secret, "form token")
            hide(self._token)
        return self._token

    async def check(self, request: Request) -> dict[str, str]:
        """The fields of a form. Raises Stranger unless it is one of our pages'."""
        fields = form(request)
        if not compare_digest(fields.get("token", "").encode(), (await self.token()).encode()):
            raise Stranger("this form does not belong to a page of this server; open the page anew")
        return fields
