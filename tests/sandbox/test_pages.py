"""The pages of the simulated Bitbucket and their buttons."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

import pytest

from probo_bitbucket.sandbox.credentials import Consumer, InvalidGrant
from probo_bitbucket.sandbox.hooks import EVENTS, Hook
from probo_bitbucket.sandbox.statuses import BuildStatus, State
from tests.canaries import canary
from tests.sandbox.cloud import CloudTestCase, Reply


class PageTestCase(CloudTestCase):
    async def page(self, path: str) -> str:
        reply = await self.get(f"{self.cloud.url}{path}", None)
        assert reply.status == 200
        return reply.body.decode()

    async def press(self, path: str, **fields: str) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.request(
            "POST", f"{self.cloud.url}{path}", None, data=urlencode(fields).encode(), headers=headers
        )


class PageTests(PageTestCase):
    async def test_repositories_and_pull_requests_are_linked(self) -> None:
        self.site.open_pull_request("Change it")
        assert 'href="/acme/site"' in await self.page("/")
        assert 'href="/acme/site/pull-requests/1"' in await self.page("/acme/site")

    async def test_a_pull_request_shows_the_statuses_of_each_commit(self) -> None:
        pull_request = self.site.open_pull_request()
        assert pull_request.head
        status = BuildStatus(State.FAILED, "k", "https://example.com/", "Shell/Hello", "It broke", None, 0, 0)
        self.site.post_status(pull_request.head, status)
        first = pull_request.commit
        second = pull_request.push().hash
        page = await self.page("/acme/site/pull-requests/1")
        assert page.index(second[:12]) < page.index(first[:12]) < page.index("It broke")

    async def test_webhooks_are_shown_with_their_latest_requests_and_without_their_secrets(self) -> None:
        assert "There is none" in await self.page("/acme/site/admin/webhooks")
        secret = canary("not-to-be-seen")
        own = self.cloud.add_hook("acme/site", f"{self.cloud.url}/own", ["pullrequest:created"], secret)
        self.cloud.add_hook("acme", f"{self.cloud.url}/shared", ["repo:push"]).active = False
        self.site.open_pull_request("Change it")
        await self.cloud.settled()
        assert 'href="/acme/site/admin/webhooks"' in await self.page("/acme/site")
        page = await self.page("/acme/site/admin/webhooks")
        first, second = page.split("<section>")[1:]
        for words in (own.url, "Active", "Set", "<code>pullrequest:created</code></td>\n<td>404</td>"):
            assert words in first, words
        for words in ("of the workspace acme", "Inactive", "None yet."):
            assert words in second, words
        assert secret not in page

    async def test_nothing_from_a_pull_request_is_taken_as_html(self) -> None:
        self.site.open_pull_request("<script>alert(1)</script>")
        page = await self.page("/acme/site/pull-requests/1")
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>" not in page

    async def test_the_buttons_open_update_merge_and_decline(self) -> None:
        opened = await self.press("/acme/site", title="From the page")
        assert opened.headers.getRawHeaders("Location") == ["/acme/site/pull-requests/1"]
        pull_request = self.site.pull_requests[1]
        before = pull_request.commit
        await self.press("/acme/site/pull-requests/1", action="update")
        assert pull_request.commit != before
        await self.press("/acme/site/pull-requests/1", action="merge")
        await self.press("/acme/site", title="Another")
        await self.press("/acme/site/pull-requests/2", action="decline")
        assert [each.state for each in self.site.pull_requests.values()] == ["MERGED", "DECLINED"]

    async def test_a_closed_pull_request_stays_closed(self) -> None:
        self.site.open_pull_request().decline()
        assert (await self.press("/acme/site/pull-requests/1", action="merge")).status == 409

    async def test_a_pull_request_whose_branch_is_gone_cannot_be_merged(self) -> None:
        self.site.open_pull_request(branch="b")
        self.site.delete_branch("b")
        await self.page("/acme/site/pull-requests/1")
        assert (await self.press("/acme/site/pull-requests/1", action="merge")).status == 409

    async def test_what_is_not_there_is_a_page_that_says_so(self) -> None:
        for path in ("/nope", "/acme/nope", "/acme/site/pull-requests/9", "/acme/nope/admin/webhooks"):
            assert (await self.get(f"{self.cloud.url}{path}", None)).status == 404

    async def test_a_mistyped_name_is_told(self) -> None:
        for path in ("/acme/stie", "/acme/stie/admin/webhooks", "/acme/stie/admin/webhooks/new"):
            assert b"There is no repository acme/stie." in (await self.get(f"{self.cloud.url}{path}", None)).body
        for path in ("", "/webhooks", "/oauth-consumers/new"):
            reply = await self.get(f"{self.cloud.url}/acem/workspace/settings{path}", None)
            assert b"There is no workspace acem." in reply.body

    async def test_style_sheet_and_script_are_there(self) -> None:
        assert "font" in await self.page("/sandbox.css")
        assert "live" in await self.page("/sandbox.js")


class WebhookTests(PageTestCase):
    path = "/acme/site/admin/webhooks"
    place = "acme/site"
    form: ClassVar[dict[str, str]] = {
        "action": "save",
        "title": "Mine",
        "url": "http://127.0.0.1:9/hook",
        "active": "on",
        "repo:push": "on",
    }

    async def test_one_is_made_changed_and_deleted(self) -> None:
        secret = canary("of-a-webhook")
        made = await self.press(self.path, **self.form, secret=secret)
        assert made.headers.getRawHeaders("Location") == [self.path]
        hook = self.hook()
        assert (hook.description, hook.url, hook.active) == ("Mine", "http://127.0.0.1:9/hook", True)
        assert (sorted(hook.events), hook.secret) == (["repo:push"], secret)
        one = f"{self.path}/{hook.uuid.strip('{}')}"
        assert secret not in await self.page(one)
        changed = {"action": "save", "title": "Mine", "url": "http://127.0.0.1:9/other", "secret": ""}
        await self.press(one, **changed, **{"pullrequest:created": "on"})
        assert (hook.url, hook.active, sorted(hook.events)) == (changed["url"], False, ["pullrequest:created"])
        assert hook.secret == secret
        await self.press(one, action="delete")
        assert self.cloud.hooks[self.place] == []

    async def test_what_the_api_refuses_is_refused_here(self) -> None:
        for wrong in ({"url": "nowhere"}, {"secret": "c4n4ry".ljust(129, "s")}):
            assert (await self.press(self.path, **{**self.form, **wrong})).status == 400
        del (without := dict(self.form))["repo:push"]
        assert (await self.press(self.path, **without)).status == 400
        assert not self.cloud.hooks.get(self.place)

    async def test_the_form_offers_all_events(self) -> None:
        page = await self.page(f"{self.path}/new")
        assert [event for event in EVENTS if f'name="{event}"' not in page] == []

    def hook(self) -> Hook:
        [hook] = self.cloud.hooks[self.place]
        return hook


class WorkspaceWebhookTests(WebhookTests):
    path = "/acme/workspace/settings/webhooks"
    place = "acme"


class ConsumerTests(PageTestCase):
    path = "/acme/workspace/settings/oauth-consumers"
    form: ClassVar[dict[str, str]] = {
        "action": "save",
        "name": "Mine",
        "callback": "http://127.0.0.1:9/back",
        "private": "on",
        "pullrequest": "on",
    }

    async def made(self) -> Consumer:
        await self.press(self.path, **self.form)
        [consumer] = self.cloud.credentials.consumers.values()
        return consumer

    def token(self, consumer: Consumer) -> str:
        credentials = self.cloud.credentials
        return credentials.by_code(consumer, credentials.issue_code(consumer)).access_token

    async def test_one_is_made_and_shows_key_and_secret(self) -> None:
        consumer = await self.made()
        assert (consumer.name, consumer.callback_url, consumer.private) == ("Mine", "http://127.0.0.1:9/back", True)
        assert consumer.scopes == {"pullrequest"}
        assert len(consumer.secret) >= 32
        page = await self.page(self.path)
        for words in (consumer.key, consumer.secret, "Pull requests: Read", consumer.callback_url):
            assert words in page, words

    async def test_a_permission_that_another_one_brings_is_ticked_and_stays_so(self) -> None:
        form = await self.page(f"{self.path}/{(await self.made()).key}")
        assert 'name="pullrequest" checked>' in form
        assert 'name="repository" checked disabled>' in form
        assert 'name="webhook">' in form

    async def test_what_makes_no_sense_is_refused(self) -> None:
        for wrong in ({"name": ""}, {"callback": "nowhere"}):
            assert (await self.press(self.path, **{**self.form, **wrong})).status == 400
        del (without := dict(self.form))["pullrequest"]
        assert b"Permissions: " in (await self.press(self.path, **without)).body
        assert self.cloud.credentials.consumers == {}

    async def test_a_permission_that_is_taken_away_is_gone_at_the_next_token(self) -> None:
        consumer = await self.made()
        refresh_token = self.cloud.credentials.issue_refresh_token(consumer.key)
        old = self.token(consumer)
        await self.press(f"{self.path}/{consumer.key}", action="save", name="Mine", webhook="on")
        assert self.cloud.credentials.bearer(old) is None
        new = self.cloud.credentials.by_refresh_token(consumer, refresh_token).access_token
        assert (await self.get("/repositories/acme/site", new)).status == 403
        assert (await self.get("/repositories/acme/site/hooks", new)).status == 200

    async def test_another_callback_url_leaves_tokens_alone(self) -> None:
        consumer = await self.made()
        old = self.token(consumer)
        await self.press(f"{self.path}/{consumer.key}", **{**self.form, "callback": "http://127.0.0.1:8/back"})
        assert consumer.callback_url == "http://127.0.0.1:8/back"
        assert self.cloud.credentials.bearer(old)

    async def test_access_that_is_revoked_is_gone_until_somebody_consents_again(self) -> None:
        consumer = await self.made()
        other = self.cloud.add_consumer("other", canary("of-another"))
        tokens = [self.token(each) for each in (consumer, other)]
        refresh_token = self.cloud.credentials.issue_refresh_token(consumer.key)
        await self.press(f"{self.path}/{consumer.key}", action="revoke")
        assert [self.cloud.credentials.bearer(token) is None for token in tokens] == [True, False]
        with pytest.raises(InvalidGrant):
            self.cloud.credentials.by_refresh_token(consumer, refresh_token)
        assert self.cloud.credentials.bearer(self.token(consumer))

    async def test_one_that_is_deleted_is_gone_with_its_tokens(self) -> None:
        consumer = await self.made()
        token = self.token(consumer)
        await self.press(f"{self.path}/{consumer.key}", action="delete")
        assert self.cloud.credentials.consumers == {}
        assert self.cloud.credentials.bearer(token) is None
        assert (await self.press(f"{self.path}/{consumer.key}", action="delete")).status == 404

    async def test_those_of_other_workspaces_are_not_shown(self) -> None:
        consumer = await self.made()
        self.cloud.add_repository("globex/shop")
        assert consumer.key not in await self.page(self.path.replace("acme", "globex"))
        elsewhere = f"{self.path.replace('acme', 'globex')}/{consumer.key}"
        assert (await self.press(elsewhere, action="delete")).status == 404
