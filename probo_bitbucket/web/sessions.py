"""Sessions of the set-up page: what a browser is in the middle of. They are in memory only, and not for long."""

from __future__ import annotations

import secrets
from hmac import compare_digest

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.oauth import Grant

LIFE = 3600.0  # seconds
STATE_LIFE = 600.0  # seconds that a user may take on Bitbucket's page
LIMIT = 100  # sessions; the oldest makes room for one more


def _random() -> str:
    return secrets.token_urlsafe(32)


@define(eq=False)
class Session:
    """The browser knows the *id* by a cookie, and *csrf* by the forms. Everything else stays here."""

    dies_at: float
    id: str = field(factory=_random, repr=False)
    csrf: str = field(factory=_random, repr=False)
    account: str = ""
    key: str = ""
    secret: str = field(default="", repr=False)
    grant: Grant | None = None
    _state: str = field(default="", repr=False)
    _state_dies_at: float = 0.0

    def leave(self, account: str, key: str, secret: str, now: float) -> str:
        """The browser goes to Bitbucket for this consumer; return the state that it has to bring back."""
        self.account = account
        self.key, self.secret, self.grant = key, secret, None
        self._state, self._state_dies_at = _random(), now + STATE_LIFE
        return self._state

    def comes_back(self, state: str, now: float) -> bool:
        """Whether *state* is the one that was sent along. It cannot be used again."""
        known, self._state = self._state, ""
        return bool(known) and now < self._state_dies_at and compare_digest(state.encode(), known.encode())

    def forget(self) -> None:
        """Keep nothing of what was entered and given."""
        self.key, self.secret, self.grant, self._state = "", "", None, ""


class Sessions:
    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}  # the oldest first

    def begin(self) -> Session:
        self._tidy()
        session = Session(self._clock.seconds() + LIFE)
        self._sessions[session.id] = session
        return session

    def find(self, id: str) -> Session | None:
        session = self._sessions.get(id)
        return session if session and session.dies_at > self._clock.seconds() else None

    def _tidy(self) -> None:
        now = self._clock.seconds()
        living = [session for session in self._sessions.values() if session.dies_at > now]
        self._sessions = {session.id: session for session in living[-(LIMIT - 1) :]}
