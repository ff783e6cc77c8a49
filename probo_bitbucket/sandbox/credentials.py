"""What opens the simulated Bitbucket: OAuth consumers and their tokens, access tokens, API tokens."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from uuid import uuid4

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

IMPLIED = {
    "pullrequest": {"repository"},
    "repository:write": {"repository"},
    "pullrequest:write": {"pullrequest", "repository:write"},
}
CODE_LIFE = 600.0  # seconds
UNUSED_REFRESH_TOKEN_LIFE = 90 * 86400.0  # seconds


def with_implied(scopes: Iterable[str]) -> frozenset[str]:
    """*scopes* and all that they imply."""
    known = set(scopes)
    while more := set().union(*(IMPLIED.get(scope, set()) for scope in known)) - known:
        known |= more
    return frozenset(known)


class InvalidGrant(Exception):
    """A code or refresh token that is dead, unknown or somebody else's."""


@define(eq=False)
class Consumer:
    """An OAuth consumer. A used refresh token lives on for *grace* seconds, or for ever unless *rotating*."""

    key: str
    secret: str = field(repr=False)
    callback_url: str  # empty: none
    scopes: frozenset[str]
    rotating: bool = True
    grace: float = 600.0
    name: str = "Probo"
    workspace: str = "acme"
    private: bool = True


@frozen
class Access:
    """What a caller may do. *limited_to* is a workspace or a repository's full name; empty: everywhere."""

    owner: str  # who shares one budget of requests
    scopes: frozenset[str]
    limited_to: str = ""
    expires_at: float | None = None
    app: bool = False  # acts as an app user, not as a person

    def reaches(self, full_name: str) -> bool:
        return self.limited_to in ("", full_name, full_name.partition("/")[0])


@define(eq=False)
class RefreshToken:
    """One link of a chain of refresh tokens."""

    text: str = field(repr=False)
    consumer: Consumer
    dies_at: float


@frozen
class Code:
    """An authorization code."""

    consumer: Consumer
    dies_at: float


@frozen
class Grant:
    """What the token endpoint gives out. *expires_in* is in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    scopes: frozenset[str]


class Credentials:
    """Every credential that is known, and the rules by which they come and go."""

    def __init__(self, clock: IReactorTime) -> None:
        self.token_length = 2600  # characters
        self.expires_in = 7200  # seconds that an access token lives
        self.consumers: dict[str, Consumer] = {}
        self.granted: Counter[str] = Counter()  # grants given, by grant type
        self._clock = clock
        self._bearers: dict[str, Access] = {}
        self._basics: dict[tuple[str, str], Access] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._codes: dict[str, Code] = {}

    def add_consumer(self, consumer: Consumer) -> None:
        self.consumers[consumer.key] = consumer

    def new_consumer(self, workspace: str) -> Consumer:
        """One with a key and a secret of its own, for which all else is still to be said."""
        key = uuid4().hex[:18]
        return Consumer(key, secrets.token_urlsafe(24), "", frozenset(), workspace=workspace)

    def give_scopes(self, consumer: Consumer, scopes: Iterable[str]) -> None:
        """Let *consumer* have these from now on. Its access tokens with others end; what follows them has these."""
        if consumer.scopes != (changed := frozenset(scopes)):
            consumer.scopes = changed
            self._drop_access_tokens(consumer)

    def withdraw(self, consumer: Consumer) -> None:
        """Kill all tokens of *consumer*, as when the user who consented to it has enough."""
        for tokens in (self._refresh_tokens, self._codes):
            for text in [text for text, token in tokens.items() if token.consumer is consumer]:
                del tokens[text]
        self._drop_access_tokens(consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        self.withdraw(consumer)
        del self.consumers[consumer.key]

    def _drop_access_tokens(self, consumer: Consumer) -> None:
        self._bearers = {text: access for text, access in self._bearers.items() if access.owner != consumer.key}

    def add_access_token(self, token: str, scopes: Iterable[str], limited_to: str) -> None:
        """Let a token of a repository or a workspace in, as Bearer."""
        self._bearers[token] = Access(f"token of {limited_to}", with_implied(scopes), limited_to, app=True)

    def add_api_token(self, email: str, token: str, scopes: Iterable[str]) -> None:
        """Let a user's API token in, by HTTP Basic only."""
        self._basics[email, token] = Access(email, with_implied(scopes))

    def bearer(self, token: str) -> Access | None:
        """Who *token* stands for, if it is alive."""
        access = self._bearers.get(token)
        if access is None or (access.expires_at is not None and access.expires_at <= self._clock.seconds()):
            return None
        return access

    def basic(self, email: str, token: str) -> Access | None:
        return self._basics.get((email, token))

    def revoke_access_tokens(self) -> None:
        """Let every access token that OAuth gave out be expired now."""
        self._bearers = {
            token: access if access.expires_at is None else evolve(access, expires_at=0.0)
            for token, access in self._bearers.items()
        }

    def revoke_refresh_tokens(self) -> None:
        """Kill every refresh token, as when the consumer's authorization is withdrawn."""
        self._refresh_tokens.clear()

    def issue_refresh_token(self, key: str) -> str:
        """A first refresh token for the consumer *key*, as the consent page leads to."""
        return self._new_refresh_token(self.consumers[key])

    def issue_code(self, consumer: Consumer) -> str:
        code = secrets.token_urlsafe(12)
        self._codes[code] = Code(consumer, self._clock.seconds() + CODE_LIFE)
        return code

    def by_code(self, consumer: Consumer, text: str) -> Grant:
        """Exchange an authorization code; it works once. Raises InvalidGrant."""
        code = self._codes.pop(text, None)
        if code is None or code.consumer is not consumer or code.dies_at <= self._clock.seconds():
            raise InvalidGrant
        self.granted["authorization_code"] += 1
        return self._grant(consumer, self._new_refresh_token(consumer))

    def by_refresh_token(self, consumer: Consumer, text: str) -> Grant:
        """Exchange a refresh token for the next one (or the same one, if static). Raises InvalidGrant."""
        now = self._clock.seconds()
        token = self._refresh_tokens.get(text)
        if token is None or token.consumer is not consumer or token.dies_at <= now:
            raise InvalidGrant
        self.granted["refresh_token"] += 1
        if not consumer.rotating:
            token.dies_at = now + UNUSED_REFRESH_TOKEN_LIFE
            return self._grant(consumer, token.text)
        token.dies_at = min(token.dies_at, now + consumer.grace)
        return self._grant(consumer, self._new_refresh_token(consumer))

    def by_client_credentials(self, consumer: Consumer) -> Grant:
        """Acts as an app user and gets no refresh token."""
        self.granted["client_credentials"] += 1
        return self._grant(consumer, None)

    def _grant(self, consumer: Consumer, refresh_token: str | None) -> Grant:
        token = self._new_text()
        expires_at = self._clock.seconds() + self.expires_in
        self._bearers[token] = Access(
            consumer.key, with_implied(consumer.scopes), expires_at=expires_at, app=refresh_token is None
        )
        return Grant(token, refresh_token, self.expires_in, consumer.scopes)

    def _new_refresh_token(self, consumer: Consumer) -> str:
        text = self._new_text()
        self._refresh_tokens[text] = RefreshToken(text, consumer, self._clock.seconds() + UNUSED_REFRESH_TOKEN_LIFE)
        return text

    def _new_text(self) -> str:
        """Real tokens end in equal signs, which have to survive every way they are sent."""
        return secrets.token_urlsafe(self.token_length)[: self.token_length - 2] + "=="
