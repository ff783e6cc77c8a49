"""The Container Manager, or a coordinator in front of it, as we call it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec

from probo_bitbucket.errors import NotFound, Permanent, Temporary
from probo_bitbucket.logs import redact_tokens
from probo_bitbucket.model import BUILD_ID, InvalidName, Phase, RemovalReason, Repository, check_slug
from probo_bitbucket.upstream import Answer, Upstream

# The words of a JavaScript error over a document that the Container Manager cannot use: it will not get better.
_REFUSALS = ("Cannot read prop", "Download: unsupported provider")


class Refused(Permanent):
    """The Container Manager will not start this build, however often it is asked."""


class _Result(msgspec.Struct):
    code: int | None = None


class StepReport(msgspec.Struct):
    """How far a step is, as `GET /builds/{id}` tells it. Its state lags behind its result.

    Name and description are the author's, from the configuration: YAML makes a number of `name: 5`.
    """

    id: str
    name: Any = ""
    plugin: str = "Shell"
    state: str = ""
    description: Any = ""
    result: _Result | None = None

    def __post_init__(self) -> None:
        self.name, self.description = _as_text(self.name), redact_tokens(_as_text(self.description))

    @property
    def phase(self) -> Phase:
        if self.result is not None and self.result.code is not None:
            return Phase.SUCCEEDED if self.result.code == 0 else Phase.FAILED
        return {"success": Phase.SUCCEEDED, "error": Phase.FAILED, "running": Phase.RUNNING}.get(
            self.state, Phase.PENDING
        )


class _Removed(msgspec.Struct):
    """The answer to `DELETE /builds/{id}`; the error is that there is no container, in one spelling or another."""

    status: str = ""
    error: str = ""


class _Container(msgspec.Struct):
    state: str = ""


class BuildReport(msgspec.Struct):
    """What `GET /builds/{id}` tells of a build."""

    id: str
    active: bool = False
    status: str = ""
    steps: list[StepReport] = []
    container: _Container | None = None
    pinned: bool | None = None  # somebody wants to keep it


class _PullRequest(msgspec.Struct):
    number: int | str | None = None


class _Provider(msgspec.Struct):
    type: str = ""


class _Project(msgspec.Struct):
    slug: str = ""
    provider_id: str = ""
    provider: _Provider | None = None


class ListedBuild(msgspec.Struct, rename="camel"):
    """What `GET /builds` tells of a build that has an environment."""

    # No database takes NUL.
    id: Annotated[str, msgspec.Meta(max_length=BUILD_ID, pattern=r"\A[^\0]+\Z")]
    pull_request: _PullRequest | None = None
    project: _Project | None = None

    def belongs_to(self, repository: Repository, number: int) -> bool:
        """Whether it is of this pull request of a Bitbucket repository. Two of them can share a branch."""
        project = self.project or _Project()
        if (project.provider or _Provider()).type != "bitbucket" or self.pull_request is None:
            return False
        if project.provider_id and repository.uuid:
            same = project.provider_id == repository.uuid
        else:
            same = project.slug.lower() == repository.full_name.lower()
        return same and str(self.pull_request.number) == str(number)


class ContainerManager:
    """The calls. With a *token* it is a coordinator that is spoken to."""

    def __init__(self, upstream: Upstream, url: str, token: str = "") -> None:
        self._upstream = upstream
        self._url = url
        self._is_coordinator = bool(token)
        self._headers: dict[str | bytes, str | bytes] = {"Authorization": f"Bearer {token}"} if token else {}

    async def start(self, build: dict[str, Any], project: dict[str, Any]) -> Any:
        """`POST /startbuild`. Returns its answer.

        Raises Refused, Permanent for the 3xx or 4xx of whatever stands before it, or Temporary when it may have been
        started or not.
        """
        document = {"build": build, "project": project}
        url, whose = f"{self._url}/startbuild", str(project.get("slug", ""))
        answer = await self._upstream.request("POST", url, headers=self._headers, json=document, whose=whose)
        if answer.status == 500 and (words := _error(answer)).startswith(_REFUSALS):
            raise Refused(f"the Container Manager refused the build: {words}", 500)
        return answer.checked().json()

    async def find(self, build_id: str) -> BuildReport | None:
        """`GET /builds/{id}`, None where the Container Manager does not know it.

        A coordinator promises no such route: whatever else it answers than a build tells nothing, and is None, too.
        """
        url = f"{self._url}/builds/{quote(build_id, safe='')}"
        answer = await self._upstream.request("GET", url, headers=self._headers, whose=build_id)
        if answer.status == 404 and _is_unknown(answer):
            return None
        try:
            return msgspec.json.decode(answer.checked().body, type=BuildReport)
        except (Permanent, msgspec.DecodeError, RecursionError) as error:
            if self._is_coordinator:
                return None
            if isinstance(error, Permanent) and not isinstance(error, NotFound):
                raise
            raise Temporary(f"{answer.upstream} answered {answer.status} with an unexpected document") from error

    async def builds(self) -> list[ListedBuild]:
        """`GET /builds`: all that have an environment.

        What is not of the form of a build, or has an id that cannot be written down, is left out.
        """
        answer = await self._upstream.request("GET", f"{self._url}/builds", headers=self._headers)
        try:
            listed = msgspec.json.decode(answer.checked().body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as error:
            raise Temporary(f"{answer.upstream} answered with an unexpected document: {error}") from error
        return [build for raw in listed if (build := _listed(raw)) is not None]

    async def remove(self, build_id: str, reason: RemovalReason, words: str, now: float) -> None:
        """`DELETE /builds/{id}`: take the environment down, if there is one. *now* goes along as the time of it.

        Never without `force`: the Container Manager's process ends where the container is running. Raises Temporary
        where its answer does not say that the environment is gone.
        """
        query = urlencode(
            {"force": "true", "reason": int(reason), "reasonText": words, "reapedDate": int(now * 1000)},
            quote_via=quote,
        )
        url = f"{self._url}/builds/{quote(build_id, safe='')}?{query}"
        answer = await self._upstream.request("DELETE", url, headers=self._headers, whose=build_id)
        if answer.status == 404 and (_is_unknown(answer) or _object(answer).get("code") == 404):
            return
        try:
            told = msgspec.json.decode(answer.checked().body, type=_Removed)
        except (NotFound, msgspec.DecodeError, RecursionError) as error:
            raise Temporary(f"{answer.upstream} answered with an unexpected document: {error}") from error
        if told.status != "removed" and not told.error.endswith("not found"):
            raise Temporary(f"{answer.upstream} answered {answer.status} {told.error or 'without a reason'}")

    async def pull_request_closed(self, project_id: str, branch: str) -> None:
        """`POST /pr-closed` of a coordinator, which takes the environments down itself."""
        document = {"projectId": project_id, "branchName": branch}
        answer = await self._upstream.request("POST", f"{self._url}/pr-closed", headers=self._headers, json=document)
        answer.checked()

    async def project(self, slug: str) -> dict[str, Any] | None:
        """A coordinator's project for the repository *slug*, None where it has none.

        Raises Permanent where its owner or repository would not be safe in the Container Manager's shell line.
        """
        query = urlencode({"service": "bitbucket", "slug": slug, "single": "true"})
        url = f"{self._url}/projects?{query}"
        answer = await self._upstream.request("GET", url, headers=self._headers, whose=slug)
        try:
            project = answer.checked().json()
        except NotFound:
            return None
        if project is not None and not (isinstance(project, dict) and isinstance(project.get("id"), str)):
            raise Temporary(f"{answer.upstream} answered with a project that is not an object with an id")
        for key in ("owner", "repo"):
            if project is not None and key in project and not _is_slug(project[key]):
                raise Permanent(f"{answer.upstream}: `{key}` of the project of {slug} is not a slug")
        return project

    async def store_tokens(
        self, *, project_id: str, token: str, refresh_token: str, previous: str, created_at: float, expires_in: float
    ) -> None:
        """`POST /projects/tokens` of a coordinator. With *previous* it updates every project that has that token."""
        headers: dict[str | bytes, str | bytes] = {
            **self._headers,
            "projectid": project_id,
            "providertype": "bitbucket",
            "token": token,
            "refreshtoken": refresh_token,
            "previousrefreshtoken": previous,
            "tokencreatedat": str(int(created_at)),
            "tokenexpiresin": str(int(expires_in)),
        }
        answer = await self._upstream.request("POST", f"{self._url}/projects/tokens", headers=headers)
        answer.checked()


def _is_unknown(answer: Answer) -> bool:
    """Whether a 404 says that there is no such build: by `{}`, in v4.5.3 by a message. A proxy's says nothing of it."""
    document = _object(answer)
    return answer.body.strip() == b"{}" or str(document.get("message")).startswith("Key not found in database")


def _error(answer: Answer) -> str:
    error = _object(answer).get("error")
    return error if isinstance(error, str) else ""


def _object(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is something else."""
    try:
        document = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _listed(raw: msgspec.Raw) -> ListedBuild | None:
    try:
        return msgspec.json.decode(raw, type=ListedBuild)
    except (msgspec.DecodeError, RecursionError):
        return None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def _is_slug(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(check_slug(value))
    except InvalidName:
        return False
