"""Bitbucket's OAuth 2.0 token endpoint. Knows the protocol; who keeps the tokens is not its business."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import urlencode

from attrs import field, frozen

from probo_bitbucket.errors import DeadCredentials, Permanent, Temporary, Unauthorized, UpstreamError
from probo_bitbucket.logs import hide
from probo_bitbucket.upstream import Upstream

DEFAULT_LIFE = 3600.0  # seconds an access token lives where the answer does not say (RFC 6749 leaves it open)
LONGEST_LIFE = 366 * 86_400.0  # seconds; who says that a token lives longer is mistaken
_CONSUMER = "the key and secret of the OAuth consumer"
_GRANTS = {"authorization_code": "the code", "refresh_token": "the refresh token", "client_credentials": _CONSUMER}
SCOPES = ("pullrequest",)  # the least that reads files and pull requests and posts build statuses


@frozen
class Grant:
    """A pair of tokens. There is no refresh token for client credentials."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: float
    scopes: tuple[str, ...]


def fingerprint(key: str, secret: str) -> str:
    """Tells a consumer with its secret from others, and nothing of them."""
    return hashlib.sha256(f"{key}:{secret}".encode()).hexdigest()


class OAuth:
    """The token endpoint as one consumer uses it, which *consumer* tells from others.

    All grants raise DeadCredentials when Bitbucket refuses, Temporary when it could not be asked.
    """

    def __init__(self, upstream: Upstream, site_url: str, key: str, secret: str) -> None:
        self._upstream = upstream
        self._site_url = site_url
        self._key = key
        self.consumer = fingerprint(key, secret)
        self._basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
        hide(self._basic)

    def authorize_url(self, state: str) -> str:
        """Where to send the operator's browser to ask for consent."""
        query = urlencode({"client_id": self._key, "response_type": "code", "state": state})
        return f"{self._site_url}/site/oauth2/authorize?{query}"

    async def exchange(self, code: str) -> Grant:
        """Trade the *code* that came back with the browser for tokens."""
        return await self._grant({"grant_type": "authorization_code", "code": code})

    async def refresh(self, refresh_token: str) -> Grant:
        """Trade a refresh token for a new pair. The used one dies about ten minutes later where tokens rotate."""
        return await self._grant({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def client_credentials(self) -> Grant:
        """An access token for the consumer itself."""
        return await self._grant({"grant_type": "client_credentials"})

    async def _grant(self, form: dict[str, str]) -> Grant:
        try:
            answer = await self._upstream.request(
                "POST",
                f"{self._site_url}/site/oauth2/access_token",
                headers={"Authorization": f"Basic {self._basic}", "Accept": "application/json"},
                form=form,
            )
            return _read(answer.checked().json())
        except Permanent as error:
            if error.status != 400:  # a firewall's page, or a redirect to one
                raise Temporary(str(error)) from error
            raise _dead(form, error) from error
        except Unauthorized as error:
            raise _dead(form, error) from error


def _dead(form: dict[str, str], error: UpstreamError) -> DeadCredentials:
    """What Bitbucket refused, in plain words before its own (RFC 6749, 5.2)."""
    of_consumer = "invalid_client" in str(error) or "unauthorized_client" in str(error)
    refused = _CONSUMER if of_consumer else _GRANTS[form["grant_type"]]
    return DeadCredentials(f"Bitbucket does not take {refused} any more: {error}")


def _read(document: Any) -> Grant:
    access_token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(access_token, str) or not access_token:
        raise Temporary("Bitbucket answered the request for a token without an access_token")
    refresh_token = document.get("refresh_token")
    scopes = document.get("scopes") or document.get("scope")
    return Grant(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
        expires_in=_life(document.get("expires_in")),
        scopes=tuple(scopes.split()) if isinstance(scopes, str) else (),
    )


def _life(expires_in: object) -> float:
    """Never fails over an odd number: the refresh token is spent already, and its successor must be kept."""
    if isinstance(expires_in, int | float) and 0 < expires_in <= LONGEST_LIFE:
        return float(expires_in)
    return DEFAULT_LIFE
