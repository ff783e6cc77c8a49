"""Who gets through to the simulated API: credentials, scopes and the budget of requests."""

from __future__ import annotations

from base64 import b64decode
from itertools import cycle
from typing import TYPE_CHECKING

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, not_found
from probo_bitbucket.sandbox.credentials import Access
from probo_bitbucket.sandbox.ratelimit import RateLimitExceeded
from probo_bitbucket.sandbox.repository import Repository

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

# Bitbucket says the same thing in different words.
UNAUTHORIZED = (
    "Access token expired. Use your refresh token to obtain a new access token.",
    "Token is invalid, expired, or not supported for this endpoint.",
    "Invalid or expired credentials.",
)


class Gate:
    """Lets callers through or raises Refused."""

    def __init__(self, cloud: BitbucketCloud) -> None:
        self._cloud = cloud
        self._wordings = cycle(UNAUTHORIZED)

    def authorize(self, request: Request, scope: str) -> Access:
        """The caller, who must have *scope* (empty: any)."""
        access = self._caller(request.getHeader("Authorization") or "")
        if access is None:
            raise Refused(401, next(self._wordings))
        if scope and scope not in access.scopes:
            detail = {"required": [scope], "granted": sorted(access.scopes)}
            raise Refused(403, "Your credentials lack one or more required privilege scopes.", detail=detail)
        return access

    def repository(self, request: Request, scope: str, full_name: str) -> Repository:
        """The repository for a caller who has *scope* there; counts in the budget."""
        access = self.authorize(request, scope)
        self._spend(request, access)
        repository = self._cloud.repositories.get(full_name)
        if repository is None or not access.reaches(full_name):
            raise not_found(f"Repository {full_name}")
        return repository

    def _spend(self, request: Request, access: Access) -> None:
        try:
            headers = self._cloud.rate_limit.spend(access.owner)
        except RateLimitExceeded as exceeded:
            request.setHeader("Retry-After", str(exceeded.retry_after))
            raise Refused(429, str(exceeded)) from None
        for name, value in headers.items():
            request.setHeader(name, value)

    def _caller(self, authorization: str) -> Access | None:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self._cloud.credentials.bearer(text)
        if scheme.lower() == "basic":
            return self._cloud.credentials.basic(*basic_pair(text))
        return None


def basic_pair(text: str) -> tuple[str, str]:
    """User and password of HTTP Basic; empty where they cannot be read."""
    try:
        user, _, password = b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password
