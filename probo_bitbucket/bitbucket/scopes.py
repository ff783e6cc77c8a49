"""Scopes: what an account may do, as Bitbucket's answers tell it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from probo_bitbucket.errors import Permanent
from probo_bitbucket.upstream import Answer

# Each in Bitbucket's words for the permissions of a consumer. Reading files and posting build statuses needs
# `repository`, which `pullrequest` implies.
PERMISSIONS = {
    "repository": "Repositories: Read",
    "pullrequest": "Pull requests: Read",
    "account": "Account: Read",
    "webhook": "Webhooks: Read and write",
}


class ScopeMissing(Permanent):
    """The account is known, but may not do this: *required* is what it lacks."""

    def __init__(self, reason: str, required: Sequence[str]) -> None:
        super().__init__(f"{reason} It needs {', '.join(required)}.", 403)
        self.required = required

    @property
    def advice(self) -> str:
        wanted = " and ".join(f"“{PERMISSIONS.get(scope, scope)}”" for scope in self.required)
        return f"give the credentials the permission {wanted} in Bitbucket, and open /setup once more"


class _Detail(msgspec.Struct):
    required: list[str]


class _Error(msgspec.Struct):
    detail: _Detail
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error


def checked(answer: Answer) -> Answer:
    """As `Answer.checked`, but raises ScopeMissing where that is what Bitbucket says."""
    refusal = _refusal(answer)
    if refusal is None:
        return answer.checked()
    raise ScopeMissing(f"{answer.upstream} answered 403: {refusal.message[:200]}", refusal.detail.required)


def _refusal(answer: Answer) -> _Error | None:
    if answer.status != 403:
        return None
    try:
        return msgspec.json.decode(answer.body, type=_Refusal).error
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
