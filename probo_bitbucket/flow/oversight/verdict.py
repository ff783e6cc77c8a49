"""Verdicts: what was looked at, how it is, and what to do about it. One line each for the operator."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from probo_bitbucket.bitbucket.scopes import ScopeMissing
from probo_bitbucket.errors import DeadCredentials, NotFound, Permanent, RateLimited, Unauthorized, UpstreamError
from probo_bitbucket.flow.credentials.accounts import RENEW
from probo_bitbucket.store import StoreUnavailable


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@frozen
class Verdict:
    """*what* it is like, and, unless that is as it should be, the *advice* what to do."""

    subject: str
    grade: Grade
    what: str
    advice: str = ""

    @classmethod
    def ok(cls, subject: str, what: str) -> Verdict:
        return cls(subject, Grade.OK, what)

    @classmethod
    def warning(cls, subject: str, what: str, advice: str) -> Verdict:
        return cls(subject, Grade.WARNING, what, advice)

    @classmethod
    def wrong(cls, subject: str, what: str, advice: str) -> Verdict:
        return cls(subject, Grade.WRONG, what, advice)

    @classmethod
    def of(cls, subject: str, error: UpstreamError | StoreUnavailable, renew: str = RENEW) -> Verdict:
        """That *error* kept us from looking; *renew* says where new credentials are given."""
        return cls.wrong(subject, str(error), advice_on(error, renew))


def advice_on(error: UpstreamError | StoreUnavailable, renew: str = RENEW) -> str:
    match error:
        case StoreUnavailable():
            return "make room on the disk, or start the database"
        case ScopeMissing():
            return error.advice
        case DeadCredentials() | Unauthorized():
            return renew
        case RateLimited():
            return "wait until Bitbucket takes requests again"
        case NotFound():
            return "correct the name, or let the account of the credentials see it"
        case Permanent(status=403):
            return "let the account of the credentials administer it"
        case Permanent():
            return "read what it answered; it would answer the same again"
    return "try again; then look at this machine's DNS, proxy and firewall, or at bitbucket.status.atlassian.com"
