"""The set-up page: from nothing to credentials that work, in a browser.

The browser is known by a cookie that holds a random id and nothing else. Whoever is not admitted by address can come
in with a code from the log (`SetupCodes`), and stays in by that cookie.
"""

from __future__ import annotations

from functools import wraps
from hmac import compare_digest

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request

from probo_bitbucket.bitbucket.hooks import EVENTS
from probo_bitbucket.bodies import BodyError
from probo_bitbucket.flow.credentials.consent import (
    CALLBACK_PATH,
    KEY,
    SECRET,
    ConsentFailed,
    code_of,
    exchange,
    yaml_lines,
)
from probo_bitbucket.flow.credentials.setup import SetUp, repositories
from probo_bitbucket.logs import hide
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.web.answers import BodyTooLarge, status_of
from probo_bitbucket.web.browsers import Handler, OwnPages, Route, Stranger
from probo_bitbucket.web.forms import form, query
from probo_bitbucket.web.pages import ASSETS_PATH, page, see_other
from probo_bitbucket.web.sessions import LIFE, Session, Sessions

PATH = "/setup"

_COOKIE = b"probo_bitbucket_setup"

_log = Logger()


FAILED = "That did not work"


class Trouble(Exception):
    """A page that says what happened and what to do about it, in place of the one that was asked for."""

    def __init__(self, status: int, what: str, advice: str, title: str = FAILED) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.advice = advice
        self.title = title


@frozen
class Entry:
    """What was entered in the form, and what is wrong with it; the secret is not shown again."""

    account: str = ""
    account_problem: str = ""
    key: str = ""
    key_problem: str = ""
    secret_problem: str = ""

    @property
    def wrong(self) -> bool:
        return bool(self.account_problem or self.key_problem or self.secret_problem)


@define(eq=False, slots=False)
class SetupPages:
    """The routes below PATH."""

    set_up: SetUp
    clock: IReactorTime
    public_url: str  # "" where the settings do not say
    webhook_path: str
    own_pages: OwnPages

    def __attrs_post_init__(self) -> None:
        self._sessions = Sessions(self.clock)

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("GET", PATH, self._guarded(self.setup)),
            ("POST", PATH, self._guarded(self.leave)),
            ("GET", CALLBACK_PATH, self._guarded(self.come_back)),
            ("POST", f"{PATH}/store", self._guarded(self.keep)),
            ("GET", f"{PATH}/done", self._guarded(self.done)),
        )

    def _guarded(self, handler: Handler) -> Handler:
        """*handler*, which needs no code and no session of whom an address lets in, but a name of ours then."""

        @wraps(handler)
        async def guarded(request: Request) -> bytes:
            if not self.admits(request):
                self.own_pages.check_name(request)
            return await handler(request)

        return _in_words(guarded)

    def admits(self, request: Request) -> bool:
        """Whether a request may be served wherever it comes from. The assets are the same for everybody."""
        path = request.path.decode("latin-1")
        if path.startswith(f"{ASSETS_PATH}/"):
            return True
        if path == PATH and self.set_up.codes.valid(_code(request)):
            return True
        return path.startswith(PATH) and self._session(request) is not None

    async def setup(self, request: Request) -> bytes:
        """What to click in Bitbucket, and the form for key and secret."""
        code = query(request).get("code", "")
        if code:
            return self._enter(request, code)
        troubled = await self.set_up.troubled()
        names = [account.name for account in self.set_up.choices]
        entry = Entry(account=next((name for name in names if name in troubled), names[0]))
        return self._form(request, self._session(request) or self._begin(request), entry, in_need=bool(troubled))

    def _enter(self, request: Request, code: str) -> bytes:
        if not self.set_up.codes.spend(code):
            raise Trouble(403, "This code does not open the page any more.", "The newest one is in the log.")
        self._begin(request)
        return see_other(request, PATH)  # without the code in the address

    def _form(self, request: Request, session: Session, entry: Entry, *, in_need: bool = True) -> bytes:
        """*in_need*: whether there are accounts whose credentials do not work."""
        return page(
            request,
            "setup.html",
            status=422 if entry.wrong else 200,
            csrf=session.csrf,
            callback_url=_our_url(request) + CALLBACK_PATH,
            entry=entry,
            in_need=in_need,
            accounts={account.name: repositories(account) for account in self.set_up.choices},
        )

    async def leave(self, request: Request) -> bytes:
        """Take key and secret, and send the browser to Bitbucket.

        Not by a redirect: browsers hold a redirect after a form to `form-action`, and Bitbucket itself redirects to a
        sign-in on other sites.
        """
        session, fields = self._posted(request)
        account, key, secret = (fields.get(name, "").strip() for name in ("account", "key", "secret"))
        entry = self._checked(account, key, secret)
        if entry.wrong:
            return self._form(request, session, entry)
        hide(secret, of="the set-up page")
        state = session.leave(entry.account, key, secret, self.clock.seconds())
        url = self.set_up.oauth(key, secret).authorize_url(state)
        return page(request, "setup_leaving.html", url=url, account=self._shown(entry.account))

    def _checked(self, account: str, key: str, secret: str) -> Entry:
        names = [choice.name for choice in self.set_up.choices]
        only = names[0] if len(names) == 1 else ""  # the form does not ask then
        return Entry(
            account=account if account in names else only,
            account_problem="" if only or account in names else "Choose one of the accounts.",
            key=key[:200],
            key_problem="" if KEY.fullmatch(key) else "Enter the key of the consumer.",
            secret_problem="" if SECRET.fullmatch(secret) else "Enter the secret of the consumer, all of it.",
        )

    def _shown(self, account: str) -> str:
        """The account's name, where there are several."""
        return account if len(self.set_up.choices) > 1 else ""

    async def come_back(self, request: Request) -> bytes:
        """Where Bitbucket sends the browser: trade the code for tokens, and show them, once."""
        answer = query(request)
        session = self._session(request)
        if session is None or not session.comes_back(answer.get("state", ""), self.clock.seconds()):
            raise Trouble(
                403,
                "Was it begun on a terminal? Then copy the whole address of this page there: your browser shows it.",
                "If it was begun at another daemon, the callback URL of its consumer leads here, and has to lead "
                "there. If it was begun in this browser, that was more than ten minutes ago, or cookies are not "
                "allowed: begin again, in one window.",
                title="This set-up goes on elsewhere",
            )
        grant = await exchange(self.set_up.oauth(session.key, session.secret), code_of(answer))
        for token in (grant.access_token, grant.refresh_token):
            hide(token, of="the set-up page")
        session.grant = grant
        return page(
            request,
            "setup_tokens.html",
            csrf=session.csrf,
            account=self._shown(session.account),
            lines=yaml_lines(session.key, grant),
        )

    async def keep(self, request: Request) -> bytes:
        """Store the credentials, and have the daemon work with them."""
        session, _ = self._posted(request)
        if session.grant is None:
            raise Trouble(409, "There are no tokens to store (any more).", "Begin again.")
        await self.set_up.save(session.account, session.key, session.secret, session.grant)
        session.forget()
        return see_other(request, f"{PATH}/done")

    async def done(self, request: Request) -> bytes:
        session = self._session(request)
        return page(
            request,
            "setup_done.html",
            account=self._shown(session.account) if session else "",
            webhook_url=(self.public_url or _our_url(request)) + self.webhook_path,
            guessed=not self.public_url,
            events=EVENTS.values(),
        )

    def _session(self, request: Request) -> Session | None:
        return self._sessions.find((request.getCookie(_COOKIE) or b"").decode("latin-1"))

    def _begin(self, request: Request) -> Session:
        session = self._sessions.begin()
        request.addCookie(
            _COOKIE,
            session.id.encode(),
            path=PATH.encode(),
            max_age=b"%d" % LIFE,
            secure=_our_url(request).startswith("https:"),
            httpOnly=True,
            sameSite=b"lax",  # strict would keep it from us when Bitbucket sends the browser back
        )
        return session

    def _posted(self, request: Request) -> tuple[Session, dict[str, str]]:
        """The session and the form of a request that one of our own pages sent."""
        session, fields = self._session(request), form(request)
        if session is None or not compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):
            raise Trouble(
                403, "This form does not belong to a page that is open now.", "Begin again, with cookies allowed."
            )
        return session, fields


def _in_words(handler: Handler) -> Handler:
    """*handler*, with what people can do something about told to them on a page."""

    @wraps(handler)
    async def shown(request: Request) -> bytes:
        try:
            return await handler(request)
        except Trouble as trouble:
            return _tell(request, trouble.status, trouble.what, trouble.advice, trouble.title)
        except (BodyError, BodyTooLarge, Stranger) as error:
            return _tell(request, status_of(error), str(error), "Begin again.")
        except ConsentFailed as failure:
            return _tell(request, 400, failure.what, failure.advice)
        except StoreUnavailable as error:
            return _tell(request, 503, f"The credentials could not be stored: {error}", "Go back and try it again.")

    return shown


def _tell(request: Request, status: int, what: str, advice: str, title: str = FAILED) -> bytes:
    _log.warn("Set-up refused", event="setup.refused", status=status, reason=what)
    return page(request, "setup_trouble.html", status=status, title=title, what=what, advice=advice, again=PATH)


def _code(request: Request) -> str:
    """The code in the address; empty where there is none, or where the address cannot be read."""
    try:
        return query(request).get("code", "")
    except BodyError:
        return ""


def _our_url(request: Request) -> str:
    """How the browser calls us, as it says itself; a proxy in front adds the scheme."""
    secure = request.isSecure() or request.getHeader(b"x-forwarded-proto") == b"https"
    return f"{'https' if secure else 'http'}://{request.getHeader('host') or 'localhost'}"
