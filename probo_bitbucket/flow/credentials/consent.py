"""Consent: from the key and secret of a consumer to its tokens, by way of Bitbucket's consent page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from probo_bitbucket.bitbucket.oauth import SCOPES, Grant, OAuth
from probo_bitbucket.errors import DeadCredentials, Temporary

KEY = re.compile("[!-~]{1,200}")
SECRET = re.compile("[!-~]{16,200}")  # Bitbucket's have 32 characters
CALLBACK_PATH = "/setup/callback"
HIDDEN_SECRET = "<the secret you entered>"  # noqa: S105  stands where the secret would be shown

_AGAIN = "Begin again."


class ConsentFailed(Exception):
    """No tokens came of it: what happened, and what to do about it."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


def code_of(answer: Mapping[str, str]) -> str:
    """The code in the query that Bitbucket sent the browser back with.

    Raises ConsentFailed for its errors (RFC 6749, section 4.1.2.1).
    """
    error, description = answer.get("error", ""), answer.get("error_description", "")
    if error == "access_denied":
        raise ConsentFailed(
            "Access was denied on Bitbucket's page.",
            "Begin again and choose “Grant access” there, signed in as a user who may read the repositories.",
        )
    if error:
        said = f"{error}: {description}" if description else error
        raise ConsentFailed(
            f"Bitbucket did not ask for consent. It says: {said[:300]}",
            "Compare callback URL and permissions of the consumer with those on the first page, and begin again.",
        )
    if not answer.get("code"):
        raise ConsentFailed("There is no code in what Bitbucket sent back.", _AGAIN)
    return answer["code"]


async def exchange(oauth: OAuth, code: str) -> Grant:
    """The tokens that Bitbucket gives for *code*. Raises ConsentFailed."""
    try:
        grant = await oauth.exchange(code)
    except DeadCredentials as error:
        raise _refused(str(error.__cause__ or error)) from error
    except Temporary as error:
        raise ConsentFailed(f"Bitbucket gave no tokens: {error}", "Wait a minute and begin again.") from error
    _check(grant)
    return grant


def _refused(reason: str) -> ConsentFailed:
    if "invalid_grant" in reason or "refresh_token is invalid" in reason:
        return ConsentFailed(
            "Bitbucket does not take the code any more. It is good for one use, within a few minutes.", _AGAIN
        )
    return ConsentFailed(
        f"Bitbucket does not accept this key with this secret. {reason}.",
        "Copy both from the consumer once more, the secret with all its characters, and begin again.",
    )


def _check(grant: Grant) -> None:
    if not grant.refresh_token:
        raise ConsentFailed("Bitbucket gave no refresh token.", "Check that the consumer is not disabled; begin again.")
    had = {scope.partition(":")[0] for scope in grant.scopes}
    if grant.scopes and not had.issuperset(SCOPES):
        raise ConsentFailed(
            f"The consumer lacks a permission: it has only {', '.join(grant.scopes)}.",
            "Edit it in Bitbucket, tick “Pull requests: Read”, save, and begin again.",
        )


def yaml_lines(key: str, grant: Grant) -> str:
    """The credentials as a settings file has them, but for the secret, which is never shown."""
    values = {
        "bbClientKey": key,
        "bbClientSecret": HIDDEN_SECRET,
        "bbAccessToken": grant.access_token,
        "bbRefreshToken": grant.refresh_token,
    }
    return "".join(f"{name}: {_quoted(value)}\n" for name, value in values.items())


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))
