"""The set-up page over HTTP: who may do what, what is kept, and when it counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import attrs
from attrs import frozen
from twisted.internet import reactor
from twisted.logger import globalLogPublisher
from twisted.web.http_headers import Headers

from probo_bitbucket.assembly import periodic
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.builds.builder import Builder
from probo_bitbucket.flow.work import schedule
from probo_bitbucket.logs import LineObserver
from probo_bitbucket.model import Build, BuildKind, Repository
from probo_bitbucket.sandbox.stage import CONFIGURATION, KEY, SECRET
from probo_bitbucket.service import Handler
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.web.sessions import LIMIT, STATE_LIFE, Sessions
from tests.canaries import canary
from tests.staged import StageTestCase

NOTHING = {"bbClientKey": "", "bbClientSecret": "", "bbRefreshToken": ""}


@frozen
class Page:
    """What came back."""

    status: int
    text: str
    headers: Any

    @property
    def csrf(self) -> str:
        return _found(r'name="csrf" value="([^"]+)"', self.text)


class SetupTestCase(StageTestCase):
    settings: ClassVar[dict[str, Any]] = NOTHING

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cookie = ""
        self.register()

    def register(self, **consumer: Any) -> None:
        self.cloud.add_consumer(KEY, SECRET, f"{self.stage.url}/setup/callback", **consumer)

    async def browse(self, method: str, path: str, form: dict[str, str] | None = None) -> Page:
        """As a browser would, which keeps our cookie for us and is at one address."""
        url = path if path.startswith("http") else self.stage.url + path
        response = await self.client.request(
            method,
            url,
            data=form,
            headers=Headers({"cookie": [self.cookie]} if url.startswith(self.stage.url) else {}),
            allow_redirects=False,
        )
        set_cookie = response.headers.getRawHeaders("set-cookie", [""])[0]
        if set_cookie:
            self.cookie = set_cookie.partition(";")[0]
        return Page(response.code, await response.text(), response.headers)

    async def leave(self, secret: str = SECRET, **also: str) -> str:
        """The address at Bitbucket where the first page sends the browser."""
        first = await self.browse("GET", "/setup")
        leaving = await self.browse("POST", "/setup", {"csrf": first.csrf, "key": KEY, "secret": secret, **also})
        return _found(r'<a class="button" href="([^"]+)"', leaving.text).replace("&amp;", "&")

    async def consent(self, address: str) -> str:
        """The address where Bitbucket sends the browser back to."""
        state = parse_qs(urlsplit(address).query)["state"][0]
        form = {"client_id": KEY, "state": state, "decision": "grant"}
        sent = await self.browse("POST", f"{self.cloud.url}/site/oauth2/authorize", form)
        return str(sent.headers.getRawHeaders("location")[0])

    async def tokens(self, **also: str) -> Page:
        """The page that shows the tokens."""
        return await self.browse("GET", await self.consent(await self.leave(**also)))

    async def set_up(self, **also: str) -> Page:
        shown = await self.tokens(**also)
        return await self.browse("POST", "/setup/store", {"csrf": shown.csrf})

    async def build(self) -> None:
        """Fails by the test's timeout where the credentials do not work."""
        pull_request = self.repository.open_pull_request("Change it", f"b{self.cloud.clock.seconds()}", {"a": b"1"})
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")


class FromNothing(SetupTestCase):
    async def test_credentials_that_work_already_are_told(self) -> None:
        words = "Credentials that work are in use already."
        first = (await self.browse("GET", "/setup")).text
        assert (words in first, 'href="/hooks"' in first) == (False, True)
        await self.set_up()
        assert words in (await self.browse("GET", "/setup")).text

    async def test_what_was_set_up_is_used_after_a_restart(self) -> None:
        stored = await self.set_up()
        assert (stored.status, stored.headers.getRawHeaders("location")) == (303, ["/setup/done"])
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.build()

    async def test_settings_that_were_given_credentials_since_are_newer(self) -> None:
        await self.set_up()
        await self.stage.stop_handler()
        self.cloud.add_consumer("another", canary("secret-of-another-one"))
        token = self.cloud.credentials.issue_refresh_token("another")
        self.stage._given |= {
            "bbClientKey": "another",
            "bbClientSecret": canary("secret-of-another-one"),
            "bbRefreshToken": token,
        }
        self.stage.start_handler()
        used = self.cloud.credentials.granted["refresh_token"]
        await self.build()
        assert self.cloud.credentials.granted["refresh_token"] == used + 1

    async def test_the_shown_lines_in_the_settings_go_on_with_the_same_chain(self) -> None:
        shown = await self.tokens()
        await self.browse("POST", "/setup/store", {"csrf": shown.csrf})
        await self.stage.stop_handler()
        lines = dict(re.findall(r"(bb\w+): &#39;(.*)&#39;", shown.text))
        self.stage._given |= {**lines, "bbClientSecret": SECRET}
        self.stage.start_handler()
        await self.build()
        assert self.cloud.credentials.granted["refresh_token"] == 0  # the access token was still good

    async def test_the_secret_is_in_no_answer_and_no_cookie_and_no_log(self) -> None:
        with log() as lines:
            shown = await self.tokens()
            await self.browse("POST", "/setup/store", {"csrf": shown.csrf})
            await self.build()
        assert "setup.done" in "".join(lines)
        assert SECRET not in shown.text + self.cookie + "".join(lines)
        assert _found("bbRefreshToken: &#39;(.*)&#39;", shown.text) not in "".join(lines)

    async def test_tokens_are_shown_once_and_kept_by_no_browser(self) -> None:
        back = await self.consent(await self.leave())
        shown = await self.browse("GET", back)
        assert shown.headers.getRawHeaders("cache-control") == ["no-store"]
        again = await self.browse("GET", back)
        assert (again.status, "bbRefreshToken" in again.text) == (403, False)

    async def test_pages_run_nothing_of_others_and_cannot_be_framed(self) -> None:
        headers = (await self.browse("GET", "/setup")).headers
        policy = headers.getRawHeaders("content-security-policy")[0]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';")
        assert headers.getRawHeaders("x-frame-options") == ["DENY"]
        assert headers.getRawHeaders("referrer-policy") == ["same-origin"]

    async def test_the_cookie_is_for_this_server_only_and_not_for_scripts(self) -> None:
        cookie = (await self.browse("GET", "/setup")).headers.getRawHeaders("set-cookie")[0].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/setup" in cookie

    async def test_a_form_of_another_site_is_refused(self) -> None:
        await self.browse("GET", "/setup")
        for csrf in ("", "made-up"):
            answer = await self.browse("POST", "/setup", {"csrf": csrf, "key": KEY, "secret": SECRET})
            assert answer.status == 403

    async def test_an_answer_of_bitbucket_counts_in_the_browser_that_asked_only(self) -> None:
        back = await self.consent(await self.leave())
        mine, self.cookie = self.cookie, ""
        await self.browse("GET", "/setup")
        elsewhere = await self.browse("GET", back)
        assert elsewhere.status == 403
        assert "<h1>This set-up goes on elsewhere</h1>" in elsewhere.text
        assert "Was it begun on a terminal? Then copy the whole address of this page there" in elsewhere.text
        assert "at another daemon, the callback URL of its consumer leads here" in elsewhere.text
        self.cookie = mine
        assert (await self.browse("GET", back)).status == 200

    async def test_a_form_that_is_too_large_is_refused(self) -> None:
        first = await self.browse("GET", "/setup")
        assert (await self.browse("POST", "/setup", {"csrf": first.csrf, "key": "k" * 9000})).status == 413

    async def test_more_fields_than_any_of_ours_has_are_refused(self) -> None:
        fields = "&".join("abcdefghijklmnopqrstu")
        assert (await self.browse("GET", f"/setup?{fields}")).status == 400
        assert (await self.browse("POST", "/setup", dict.fromkeys("abcdefghijklmnopqrstu", "1"))).status == 400

    async def test_nothing_is_stored_without_tokens(self) -> None:
        first = await self.browse("GET", "/setup")
        assert (await self.browse("POST", "/setup/store", {"csrf": first.csrf})).status == 409

    async def test_a_missing_permission_is_told(self) -> None:
        self.register(scopes=("account",))
        assert "tick “Pull requests: Read”" in (await self.tokens()).text

    async def test_a_code_that_is_spent_is_told(self) -> None:
        back = await self.consent(await self.leave())
        self.cloud.credentials.by_code(self.cloud.credentials.consumers[KEY], parse_qs(urlsplit(back).query)["code"][0])
        with log() as lines:
            assert "does not take the code any more" in (await self.browse("GET", back)).text
        [line] = [line for line in lines if "setup.refused" in line]
        assert "does not take the code any more" in line

    async def test_access_that_was_denied_is_in_the_log(self) -> None:
        state = parse_qs(urlsplit(await self.leave()).query)["state"][0]
        with log() as lines:
            await self.browse("GET", f"/setup/callback?error=access_denied&state={state}")
        assert any("setup.refused" in line and "Access was denied" in line for line in lines), lines

    async def test_other_errors_of_bitbucket_are_told_in_its_words(self) -> None:
        state = parse_qs(urlsplit(await self.leave()).query)["state"][0]
        answer = await self.browse("GET", f"/setup/callback?error=server_error&error_description=<b>oops&state={state}")
        assert "server_error: &lt;b&gt;oops" in answer.text

    async def test_a_code_is_in_the_log_until_there_are_credentials(self) -> None:
        with log() as lines:
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.until(lambda: "setup.needed" in "".join(lines))
            code = _found(r"/setup\?code=(\S+)", "".join(lines))
            entered = await self.browse("GET", f"/setup?code={code}")
            assert (entered.status, entered.headers.getRawHeaders("location")) == (303, ["/setup"])
            assert (await self.browse("GET", f"/setup?code={code}")).status == 403
            await self.set_up()
            later = len(lines)
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.build()
        assert "setup.needed" not in "".join(lines[later:])


class WithDeadCredentials(SetupTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbRefreshToken": canary("spent-long-ago")}

    async def test_what_is_set_up_takes_the_place_of_dead_ones_at_once(self) -> None:
        waiting = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        with log() as lines:
            await self.until(lambda: "credentials.dead" in "".join(lines))
        await self.set_up()
        await self.until(lambda: self.states(waiting).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.build()

    async def test_all_work_says_once_that_it_waits_counts_no_failure_and_goes_on_at_once(self) -> None:
        tries = self.count_tries()
        changes = [self.repository.open_pull_request(f"Change {n}", f"b{n}", {"a": b"%d" % n}) for n in range(5)]
        with log("debug") as lines:
            await self.until(lambda: len(tries) == len(changes) and min(tries.values()) > 3)
        levels = Counter(line.split()[1] for line in lines if "build.postponed" in line)
        assert (levels["warn"], set(levels)) == (len(changes), {"warn", "debug"})
        assert sum("credentials.dead" in line for line in lines) == 1
        assert self.rows("SELECT DISTINCT pending, attempts, failing_since FROM builds") == [(1, 0, None)]
        self.patch(schedule, "CREDENTIALS_PAUSE", 10_000.0)  # seconds; from now on no try comes by itself
        await self.until(lambda: not self.rows("SELECT 1 FROM builds WHERE due_at < unixepoch() + 9000"))
        await self.set_up()
        for pull_request in changes:
            await self.until(lambda of=pull_request: self.states(of).get("ProboCI/Shell/Fine") == "SUCCESSFUL")

    def count_tries(self) -> Counter[str]:
        """How often each build was put back from now on."""
        tries: Counter[str] = Counter()
        postpone = Builder.postpone

        async def counted(builder: Builder, job: StoredBuild, due_at: float, error: Exception) -> None:
            tries[job.build.id] += 1
            await postpone(builder, job, due_at, error)

        self.patch(Builder, "postpone", counted)
        return tries

    async def test_every_node_goes_on_with_what_was_set_up_on_one_of_them(self) -> None:
        self.patch(periodic, "SETUP_INTERVAL", 0.1)
        self.handler._foundation.let_go()  # two nodes have a PostgreSQL, but this one's lock is all that is in the way
        other = Handler(attrs.evolve(self.stage.settings(), port=0), reactor)
        other.privilegedStartService()
        other.startService()
        self.addCleanup(other.stopService)
        for chain in (*self.handler._parts.chains, *other._parts.chains):
            with self.assertRaises(DeadCredentials):
                await chain.access_token()
        await self.set_up()
        await self.until(lambda: other._parts.chains[0]._first == "")  # the chain of what was set up
        token = await other._parts.chains[0].access_token()
        assert token == await self.handler._parts.chains[0].access_token()
        assert self.cloud.credentials.bearer(token) is not None


class NamedAccounts(SetupTestCase):
    """One account that has no credentials yet, one whose token Bitbucket refuses, and none at the top level."""

    settings: ClassVar[dict[str, Any]] = {
        **NOTHING,
        "accounts": [
            {"name": "acme", "repositories": "acme/*"},
            {"name": "globex", "repositories": "globex/*", "bbAccessToken": canary("token-that-was-revoked")},
        ],
    }

    async def test_the_page_asks_which_account_it_is_for_and_offers_one_in_need(self) -> None:
        page = await self.browse("GET", "/setup")
        offered = re.findall('<option value="([^"]+)"( selected)?>([^<]+)<', page.text)
        assert offered == [
            ("acme", " selected", "acme: acme/*"),
            ("globex", "", "globex: globex/*"),
            ("default", "", "default: all other repositories"),
        ]

    async def test_an_account_that_the_settings_do_not_name_is_none(self) -> None:
        first = await self.browse("GET", "/setup")
        for account in ("", "initech"):
            form = {"csrf": first.csrf, "key": KEY, "secret": SECRET, "account": account}
            answer = await self.browse("POST", "/setup", form)
            assert (answer.status, "Choose one of the accounts." in answer.text) == (422, True)

    async def test_an_account_goes_on_with_what_was_set_up_for_it_and_says_which_it_is(self) -> None:
        shown = await self.tokens(account="acme")
        assert "<code>name</code> is <code>acme</code>" in shown.text
        await self.browse("POST", "/setup/store", {"csrf": shown.csrf})
        assert "for the account <strong>acme</strong>" in (await self.browse("GET", "/setup/done")).text
        await self.build()
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.build()
        assert self.rows("SELECT name FROM chain_holders") == [("acme",)]

    async def test_what_waits_for_an_access_token_that_was_refused_is_built_when_its_account_is_set_up(self) -> None:
        shop = self.cloud.add_repository("globex/shop", {".probo.yaml": CONFIGURATION})
        self.stage.watch("globex/shop")
        waiting = shop.open_pull_request("Wait", "waiting", {"a": b"1"})
        with log() as lines:
            await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE last_error LIKE '%answered 401%'"))
            health = await self.call("GET", "/readyz")
            lookup = await self.call("GET", f"/auth_lookup?refreshToken={await self.handle('globex/shop')}")
        assert sum("credentials.dead" in line for line in lines) == 1
        troubles = {each["subject"]: each["trouble"] for each in health.json["findings"]}
        assert (health.status, lookup.status) == (503, 503)
        assert "Bitbucket answered 401 to the access token" in troubles["credentials globex"]
        assert "there are none" in troubles["credentials acme"]
        assert self.rows("SELECT attempts, failing_since FROM builds") == [(0, None)]
        await self.set_up(account="globex")
        await self.until(lambda: self.states(waiting).get("ProboCI/Shell/Fine") == "SUCCESSFUL")

    async def handle(self, full_name: str) -> str:
        """A handle of a build of that repository."""
        repository = Repository.parse(full_name)
        build = Build("b-1", BuildKind.HASH, repository, repository, "d96c25c4ae50", "n", 1.0)
        return await self.handler._parts.set_up.accounts.handle(build)  # type: ignore[union-attr]

    async def test_the_log_says_who_is_in_need_and_where_to_go(self) -> None:
        with log() as lines:
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.until(lambda: "setup.needed" in "".join(lines))
        [line] = [line for line in lines if "setup.needed" in line]
        assert "(accounts: acme)" in line
        assert f"Open {self.stage.url}/setup?code=" in line
        assert "probo-bitbucket setup -c SETTINGS --store" in line


class OfAnotherConsumer(SetupTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbClientKey": "gone", "bbClientSecret": canary("secret-of-one-that-is-gone")}

    async def test_the_chain_that_was_replaced_is_not_refreshed_any_more(self) -> None:
        self.cloud.credentials.expires_in = 60  # seconds; too few to be used
        await self.set_up()
        assert self.stage.handler is not None
        for chain in self.stage.handler._parts.chains:
            await chain.refresh_if_idle(-1.0)  # raises DeadCredentials where it is done with the other consumer

    async def test_the_requests_of_the_consumer_that_was_replaced_are_not_counted_any_more(self) -> None:
        await self.set_up()
        budgets = (await self.call("GET", "/api/status")).json["budgets"]
        assert [each["consumer"] for each in budgets] == [KEY]


class FromOutside(SetupTestCase):
    settings: ClassVar[dict[str, Any]] = {**NOTHING, "internalAccess": ["192.0.2.0/24"]}

    async def test_the_code_of_the_log_opens_the_set_up_and_nothing_else(self) -> None:
        assert (await self.browse("GET", "/setup")).status == 403
        with log() as lines:
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.until(lambda: "setup.needed" in "".join(lines))
        assert (await self.browse("GET", "/setup?code=made-up")).status == 403
        code = _found(r"/setup\?code=(\S+)", "".join(lines))
        assert (await self.browse("GET", f"/setup?code={code}")).status == 303
        assert "<nav" not in (await self.browse("GET", "/setup")).text  # it would lead to closed doors
        assert (await self.set_up()).status == 303
        assert (await self.browse("GET", "/auth_lookup?refreshToken=x")).status == 403
        assert (await self.browse("GET", "/pages/style.css")).status == 200


class WithAPublicUrl(SetupTestCase):
    settings: ClassVar[dict[str, Any]] = {**NOTHING, "publicUrl": "https://probo.example.com"}

    async def told(self) -> str:
        """What the log says when the handler is started anew."""
        with log() as lines:
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.until(lambda: "setup.needed" in "".join(lines))
        return "".join(lines)

    async def test_the_log_leads_there(self) -> None:
        assert "Open https://probo.example.com/setup?code=" in await self.told()

    async def test_the_log_does_not_lead_there_where_the_page_is_behind_another_door(self) -> None:
        self.stage._given["internalListen"] = f"unix:{self.folder}/internal.sock"
        assert "Open https://<this server>/setup?code=" in await self.told()

    async def test_the_webhook_leads_there_whatever_the_browser_calls_us(self) -> None:
        done = (await self.browse("GET", "/setup/done")).text
        assert "https://probo.example.com/bitbucket-webhook" in done
        assert "If that is the one that you are using now" not in done


class UnderAnotherName(SetupTestCase):
    """A stranger can point a name to our address, and have a browser that is let in read our answers under it."""

    settings: ClassVar[dict[str, Any]] = {**NOTHING, "dashboardHosts": "probo.example.com"}

    async def status(self, host: str, path: str = "/setup") -> int:
        answered = await self.call("GET", path, headers={"Host": host, "Cookie": self.cookie})
        return answered.status

    async def test_a_name_that_a_stranger_points_to_us_opens_nothing(self) -> None:
        for path in ("/setup", "/setup/callback?code=x&state=x", "/setup/done", "/setup?code=wrong"):
            assert await self.status("evil.example.com", path) == 403, path
        assert (await self.call("POST", "/setup", b"key=x", {"Host": "evil.example.com"})).status == 403
        assert [await self.status(host) for host in ("probo.example.com", "localhost")] == [200, 200]

    async def test_a_session_goes_on_under_any_name(self) -> None:
        await self.browse("GET", "/setup")
        assert await self.status("other.example.com") == 200

    async def test_the_code_of_the_log_opens_the_page_under_any_name(self) -> None:
        with log() as lines:
            await self.stage.stop_handler()
            self.stage.start_handler()
            await self.until(lambda: "setup.needed" in "".join(lines))
        code = _found(r"/setup\?code=(\S+)", "".join(lines))
        assert await self.status("other.example.com", f"/setup?code={code}") == 303


def test_a_state_is_good_for_ten_minutes_and_once() -> None:
    session = Sessions(reactor).begin()
    late = session.leave("default", "key", "c4n4ry-secret", 1000.0)
    assert not session.comes_back(late, 1000.0 + STATE_LIFE)
    state = session.leave("default", "key", "c4n4ry-secret", 2000.0)
    assert session.comes_back(state, 2001.0)
    assert not session.comes_back(state, 2002.0)
    assert not session.comes_back("", 2003.0)


def test_sessions_take_a_bounded_amount_of_memory() -> None:
    sessions = Sessions(reactor)
    first, *_, last = [sessions.begin() for _ in range(LIMIT + 1)]
    assert sessions.find(first.id) is None
    assert sessions.find(last.id) is last


@contextmanager
def log(level: str = "info") -> Iterator[list[str]]:
    """The lines that are logged meanwhile, as the log has them."""
    lines: list[str] = []
    observer = LineObserver(lambda line: lines.append(line.decode()), level)
    globalLogPublisher.addObserver(observer)
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observer)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]
