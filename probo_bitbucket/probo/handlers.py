"""The handlers of other providers, which know one Container Manager as we do, as we call them."""

from __future__ import annotations

from attrs import define

from probo_bitbucket.errors import Permanent
from probo_bitbucket.upstream import Answer, Upstream

TRAIL = "X-Probo-Passed-On-By"  # the header with the marks of the handlers that passed a request on


@define(eq=False)
class OtherHandler:
    """The handler at *url*. Paths are percent-encoded, with their query, and go out as they came in.

    A *trail* has the marks of all handlers that passed something on, and ends with ours.
    """

    upstream: Upstream
    url: str

    async def post(self, path: str, content_type: str, body: bytes, trail: str) -> None:
        """Pass a status update on. Raises UpstreamError."""
        headers: dict[str | bytes, str | bytes] = {"Content-Type": content_type, TRAIL: trail}
        answer = await self.upstream.request("POST", self.url + path, headers=headers, body=body)
        answer.checked()

    async def get(self, path: str, trail: str) -> Answer:
        """Its answer to a question, whatever its status: a JSON object always.

        Raises UpstreamError in place of anything else: `null`, no body and redirects end the Container Manager's
        process, or hang its build.
        """
        answer = await self.upstream.request("GET", self.url + path, headers={TRAIL: trail})
        if 300 <= answer.status < 400:
            answer.checked()
        if not isinstance(answer.json(), dict):
            raise Permanent(f"{answer.upstream} answered {answer.status} with something that is not a JSON object")
        return answer
