"""The pages of the simulated Bitbucket and their buttons."""

from __future__ import annotations

from urllib.parse import urlencode

from probo_bitbucket.sandbox.statuses import BuildStatus, State
from tests.canaries import canary
from tests.sandbox.cloud import CloudTestCase, Reply


class PageTests(CloudTestCase):
    async def page(self, path: str) -> str:
        reply = await self.get(f"{self.cloud.url}{path}", None)
        assert reply.status == 200
        return reply.body.decode()

    async def press(self, path: str, **fields: str) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.request(
            "POST", f"{self.cloud.url}{path}", None, data=urlencode(fields).encode(), headers=headers
        )

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
        assert "<script" not in await self.page("/acme/site/pull-requests/1")

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
        for path in ("/nope", "/acme/nope", "/acme/site/pull-requests/9"):
            assert (await self.get(f"{self.cloud.url}{path}", None)).status == 404

    async def test_the_style_sheet_is_there(self) -> None:
        assert "font" in await self.page("/sandbox.css")
