"""OAuth 2.0 of the simulated Bitbucket: the consent page and the token endpoint."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from klein import Klein
from klein.resource import KleinResource
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, answer, answer_json, form, on_error, query
from probo_bitbucket.sandbox.credentials import Consumer, Grant, InvalidGrant
from probo_bitbucket.sandbox.gate import basic_pair
from probo_bitbucket.sandbox.templates import HTML, render, show_refusal

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

# Both are seen for a refresh token that is dead.
DEAD_GRANT = (
    {"error": "invalid_grant", "error_description": "The specified refresh token or code is invalid."},
    {"error": "unauthorized_client", "error_description": "refresh_token is invalid"},
)


class OAuthError(Exception):
    """An error of the token endpoint."""

    def __init__(self, document: dict[str, str]) -> None:
        super().__init__(document["error"])
        self.document = document


def oauth(cloud: BitbucketCloud) -> KleinResource:
    """Everything below `/site/oauth2`."""
    app = Klein()
    _add_tokens(app, cloud)
    _add_consent(app, cloud)
    on_error(app, OAuthError, _oauth_error)
    on_error(app, Refused, _refused)
    return app.resource()


def _add_tokens(app: Klein, cloud: BitbucketCloud) -> None:
    wordings = cycle(DEAD_GRANT)

    @app.route("/access_token", methods=["POST"])
    def access_token(request: Request) -> bytes:
        consumer = authenticated(request)
        fields = form(request)
        try:
            grant = granted(consumer, fields)
        except InvalidGrant:
            raise OAuthError(next(wordings)) from None
        document = _grant_document(grant, cloud.scope_field)
        if "state" in fields:
            document["state"] = fields["state"]
        return answer_json(request, document)

    def authenticated(request: Request) -> Consumer:
        scheme, _, text = (request.getHeader("Authorization") or "").partition(" ")
        key, secret = basic_pair(text) if scheme.lower() == "basic" else ("", "")
        consumer = cloud.credentials.consumers.get(key)
        if consumer is None or consumer.secret != secret:
            raise OAuthError({"error": "unauthorized_client", "error_description": "Invalid OAuth client credentials"})
        return consumer

    def granted(consumer: Consumer, fields: dict[str, str]) -> Grant:
        match fields:
            case {"grant_type": "authorization_code", "code": code}:
                return cloud.credentials.by_code(consumer, code)
            case {"grant_type": "refresh_token", "refresh_token": token}:
                return cloud.credentials.by_refresh_token(consumer, token)
            case {"grant_type": "client_credentials"} if consumer.private:
                return cloud.credentials.by_client_credentials(consumer)
            case {"grant_type": "authorization_code" | "refresh_token" as missing}:
                raise OAuthError({"error": "invalid_request", "error_description": f"{missing} needs its field"})
            case {"grant_type": "client_credentials"}:
                raise OAuthError({"error": "unauthorized_client", "error_description": "The consumer is not private"})
        raise OAuthError({"error": "unsupported_grant_type", "error_description": "No such grant type"})


def _oauth_error(request: Request, error: OAuthError) -> bytes:
    return answer_json(request, error.document, 400)


def _refused(request: Request, refused: Refused) -> bytes:
    document = {"error": "invalid_request", "error_description": refused.message}
    return answer_json(request, document, refused.status)


def _grant_document(grant: Grant, scope_field: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "access_token": grant.access_token,
        "expires_in": grant.expires_in,
        "token_type": "bearer",
        scope_field: " ".join(sorted(grant.scopes)),
    }
    if grant.refresh_token is not None:
        document["refresh_token"] = grant.refresh_token
    return document


def _add_consent(app: Klein, cloud: BitbucketCloud) -> None:
    @app.route("/authorize", methods=["GET"], endpoint="ask")
    def ask(request: Request) -> bytes:
        arguments = {name: values[-1] for name, values in query(request).items()}
        trouble = problem(arguments)
        if trouble:
            return show_refusal(request, Refused(400, trouble))
        consumer = cloud.credentials.consumers[arguments["client_id"]]
        return answer(request, render("consent.html", consumer=consumer, state=arguments.get("state")), HTML)

    @app.route("/authorize", methods=["POST"], endpoint="decide")
    def decide(request: Request) -> bytes:
        fields = form(request)
        consumer = cloud.credentials.consumers.get(fields.get("client_id", ""))
        if consumer is None:
            return show_refusal(request, Refused(400, "Unknown consumer"))
        reply = {"error": "access_denied", "error_description": "The user denied access"}
        if fields.get("decision") == "grant":
            reply = {"code": cloud.credentials.issue_code(consumer)}
        if "state" in fields:
            reply["state"] = fields["state"]
        request.redirect(f"{consumer.callback_url}?{urlencode(reply)}".encode())
        return b""

    def problem(arguments: dict[str, str]) -> str:
        """Why nobody is asked for consent, in words; empty if all is well."""
        consumer = cloud.credentials.consumers.get(arguments.get("client_id", ""))
        if consumer is None:
            return "Invalid client_id: there is no such OAuth consumer."
        if arguments.get("response_type") != "code":
            return "Unsupported response_type: only the authorization code grant is left."
        if not consumer.callback_url:
            return "No callback uri defined for the OAuth client."
        asked, callback_url = arguments.get("redirect_uri"), consumer.callback_url
        if asked not in (None, callback_url):
            return f"Invalid redirect_uri: {asked} does not match the callback URL of this consumer, {callback_url}"
        return ""
