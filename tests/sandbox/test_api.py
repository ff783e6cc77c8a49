"""What the simulated API gives and refuses."""

from __future__ import annotations

import io
import tarfile
from urllib.parse import urlsplit

from probo_bitbucket.sandbox.commits import File, FileKind
from tests.sandbox.cloud import TOKEN, CloudTestCase, basic

REPOSITORY = "/repositories/acme/site"


class AccessTests(CloudTestCase):
    async def test_every_401_can_have_another_wording(self) -> None:
        replies = [await self.get(REPOSITORY, token="c4n4ry-wrong") for _ in range(3)]
        assert {reply.status for reply in replies} == {401}
        assert len({reply.message for reply in replies}) == 3

    async def test_no_credentials_are_401(self) -> None:
        assert (await self.get(REPOSITORY, token=None)).status == 401

    async def test_a_missing_scope_is_403(self) -> None:
        self.cloud.credentials.add_access_token("c4n4ry-poor", ["repository"], "acme")
        reply = await self.get(f"{REPOSITORY}/pullrequests", token="c4n4ry-poor")
        assert reply.status == 403
        assert reply.document["error"]["detail"]["required"] == ["pullrequest"]

    async def test_a_token_of_another_workspace_sees_nothing(self) -> None:
        self.cloud.credentials.add_access_token("c4n4ry-other", ["repository"], "other")
        assert (await self.get(REPOSITORY, token="c4n4ry-other")).status == 404

    async def test_an_api_token_is_for_basic_only(self) -> None:
        self.cloud.credentials.add_api_token("robin@example.com", "c4n4ry-api", ["repository"])
        headers = {"Authorization": basic("robin@example.com", "c4n4ry-api")}
        assert (await self.get(REPOSITORY, token=None, headers=headers)).status == 200
        assert (await self.get(REPOSITORY, token="c4n4ry-api")).status == 401

    async def test_the_budget_is_a_rolling_hour(self) -> None:
        self.cloud.rate_limit.limit = 2
        assert [(await self.get(REPOSITORY)).status for _ in range(3)] == [200, 200, 429]
        self.clock.advance(3601)
        assert (await self.get(REPOSITORY)).status == 200

    async def test_a_429_says_when_to_come_back(self) -> None:
        self.cloud.rate_limit.limit = 1
        await self.get(REPOSITORY)
        self.clock.advance(600)
        reply = await self.get(REPOSITORY)
        assert reply.message == "Rate limit for this resource has been exceeded."
        assert reply.headers.getRawHeaders("Retry-After") == ["3000"]

    async def test_a_budget_near_its_end_is_announced(self) -> None:
        self.cloud.rate_limit.limit = 5
        replies = [await self.get(REPOSITORY) for _ in range(5)]
        near = [reply.headers.getRawHeaders("X-RateLimit-NearLimit") for reply in replies]
        assert near == [["false"]] * 4 + [["true"]]

    async def test_listings_across_workspaces_are_gone(self) -> None:
        assert (await self.get("/repositories")).status == 410

    async def test_the_repositories_of_one_workspace_are_listed_as_far_as_they_can_be_seen(self) -> None:
        self.cloud.add_repository("acme/other")
        self.cloud.add_repository("robin/site")
        self.cloud.credentials.add_access_token("c4n4ry-one", ["repository"], "acme/other")
        for token, seen in ((TOKEN, ["acme/site", "acme/other"]), ("c4n4ry-one", ["acme/other"])):
            listed = (await self.get("/repositories/acme", token)).document["values"]
            assert [each["full_name"] for each in listed] == seen

    async def test_an_unknown_path_is_a_404_in_json(self) -> None:
        assert (await self.get(f"{REPOSITORY}/nope")).document["type"] == "error"


class SourceTests(CloudTestCase):
    async def test_a_file_comes_as_raw_bytes(self) -> None:
        pull_request = self.site.open_pull_request(files={"a b/ü.bin": b"\x00\xff"})
        reply = await self.get(f"{REPOSITORY}/src/{pull_request.commit[:12]}/a%20b/%C3%BC.bin")
        assert (reply.status, reply.body) == (200, b"\x00\xff")

    async def test_a_missing_file_is_404(self) -> None:
        reply = await self.get(f"{REPOSITORY}/src/main/.probo.yml")
        assert (reply.status, reply.document["type"]) == (404, "error")

    async def test_a_branch_with_a_slash_does_not_work_in_a_path(self) -> None:
        self.site.push("feature/x", {"a": b"1"})
        for name in ("feature/x", "feature%2Fx"):
            assert (await self.get(f"{REPOSITORY}/src/{name}/a")).status == 404

    async def test_the_root_is_listed_page_by_page(self) -> None:
        self.site.push("main", {f"file{number:03}": b"" for number in range(150)})
        first = await self.get(f"{REPOSITORY}/src/main/?pagelen=100")
        second = await self.get(first.document["next"])
        paths = [entry["path"] for reply in (first, second) for entry in reply.document["values"]]
        assert len(paths) == len(set(paths)) == 152
        assert "next" not in second.document

    async def test_a_last_page_that_is_full_has_no_next(self) -> None:
        reply = await self.get(f"{REPOSITORY}/src/main/?pagelen=2")
        assert (len(reply.document["values"]), "next" in reply.document) == (2, False)

    async def test_pages_of_more_than_100_are_refused(self) -> None:
        assert (await self.get(f"{REPOSITORY}/src/main/?pagelen=101")).status == 400

    async def test_a_short_hash_leads_to_the_full_one(self) -> None:
        commit = self.site.push("main", {"a": b"1"})
        reply = await self.get(f"{REPOSITORY}/commit/{commit.hash[:12]}")
        assert reply.document["hash"] == commit.hash

    async def test_commits_are_listed_newest_first(self) -> None:
        hashes = [self.site.push("main", {}, f"Commit {number}").hash for number in range(3)]
        reply = await self.get(f"{REPOSITORY}/commits?include={hashes[1]}")
        assert [each["hash"] for each in reply.document["values"]][:2] == [hashes[1], hashes[0]]

    async def test_a_large_file_is_on_another_host_that_wants_no_credentials(self) -> None:
        self.site.push("main", {"film": File(b"long", FileKind.LFS)})
        reply = await self.get(f"{REPOSITORY}/src/main/film")
        [location] = reply.headers.getRawHeaders("Location") or []
        assert reply.status == 301
        assert urlsplit(location).hostname != urlsplit(self.cloud.url).hostname
        elsewhere = location.replace("localhost", "127.0.0.1")
        assert (await self.get(elsewhere)).status == 400
        assert (await self.get(elsewhere, token=None)).body == b"long"

    async def test_the_content_of_a_symlink_is_its_target(self) -> None:
        self.site.push("main", {".probo.yaml": File(b"config/probo.yaml", FileKind.SYMLINK)})
        assert (await self.get(f"{REPOSITORY}/src/main/.probo.yaml")).body == b"config/probo.yaml"
        entries = (await self.get(f"{REPOSITORY}/src/main/")).document["values"]
        assert {entry["path"]: entry["attributes"] for entry in entries}[".probo.yaml"] == ["link"]

    async def test_branches_are_listed(self) -> None:
        commit = self.site.push("feature/x", {})
        branches = (await self.get(f"{REPOSITORY}/refs/branches")).document["values"]
        assert {branch["name"]: branch["target"]["hash"] for branch in branches}["feature/x"] == commit.hash

    async def test_the_archive_holds_the_files_of_the_commit_for_a_bearer(self) -> None:
        commit = self.site.push("main", {"web/index.html": b"<p>hi"})
        reply = await self.get(f"{self.cloud.url}/acme/site/get/{commit.hash}.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(reply.body)) as archive:
            file = archive.extractfile(f"acme-site-{commit.hash[:12]}/web/index.html")
            assert file is not None
            assert file.read() == b"<p>hi"

    async def test_there_is_no_archive_without_credentials_or_commit(self) -> None:
        place = f"{self.cloud.url}/acme/site/get"
        assert (await self.get(f"{place}/main.tar.gz", token="undefined")).status == 401
        assert (await self.get(f"{place}/{'0' * 40}.tar.gz")).status == 404


class PullRequestTests(CloudTestCase):
    async def test_only_open_ones_are_listed_unless_asked_for_others(self) -> None:
        for branch in ("a", "b", "c"):
            self.site.open_pull_request(branch=branch)
        self.site.pull_requests[1].merge()
        self.site.pull_requests[2].decline()
        place = f"{REPOSITORY}/pullrequests"
        shown = [
            [each["id"] for each in (await self.get(f"{place}{query}")).document["values"]]
            for query in ("", "?state=MERGED", "?state=MERGED&state=DECLINED", "?pagelen=50")
        ]
        assert shown == [[3], [1], [2, 1], [3]]
        assert (await self.get(f"{place}?pagelen=51")).status == 400
        assert (await self.get(f"{place}?state=CLOSED")).status == 400

    async def test_one_is_read_by_its_number(self) -> None:
        pull_request = self.site.open_pull_request(title="Change", draft=True)
        document = (await self.get(f"{REPOSITORY}/pullrequests/1")).document
        assert (document["title"], document["state"], document["draft"]) == ("Change", "OPEN", True)
        assert document["source"]["commit"]["hash"] == pull_request.commit[:12]
        assert (await self.get(f"{REPOSITORY}/pullrequests/2")).status == 404

    async def test_a_comment_is_written_edited_and_deleted(self) -> None:
        self.site.open_pull_request()
        place = f"{REPOSITORY}/pullrequests/1/comments"
        number = (await self.post(place, {"content": {"raw": "one"}})).document["id"]
        await self.request("PUT", f"{place}/{number}", json={"content": {"raw": "two"}})
        assert (await self.get(f"{place}/{number}")).document["content"]["raw"] == "two"
        assert (await self.post(place, {"raw": "three"})).status == 400
        assert (await self.request("DELETE", f"{place}/{number}")).status == 204
        assert (await self.get(f"{place}/{number}")).status == 404
