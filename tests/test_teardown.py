"""Environments: at each moment of a pull request's life, those that remain are the right ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs

from twisted.internet import reactor

from probo_bitbucket.flow.statuses import desire
from probo_bitbucket.sandbox.coordinator import Coordinator
from probo_bitbucket.sandbox.faults import HTML, Answer, Cut, Fault, Hang, LoseAnswer, Slow
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.repository import Change
from probo_bitbucket.sandbox.server import Recorded
from probo_bitbucket.sandbox.stage import KEY
from tests.canaries import canary
from tests.staged import StageTestCase

BROKEN = b"steps: [{name: One, command: 'true'}"


class Environments(StageTestCase):
    def standing(self) -> list[str]:
        """The commits whose environments are there, oldest first."""
        found = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        return [build["commit"]["ref"] for build in sorted(found, key=lambda build: str(build.get("createdAt")))]

    def removed(self) -> dict[str, Mapping[str, Any]]:
        """The builds that were taken down, by id, as the Container Manager has them."""
        return {id: build for id, build in self.container_manager.builds.items() if build.get("reaped")}

    def deletions(self) -> list[Recorded]:
        return [request for request in self.container_manager.requests if request.method == "DELETE"]

    async def opened(self, branch: str = "feature/change") -> PullRequest:
        pull_request = self.repository.open_pull_request("Change", branch, {branch: b"1"})
        await self.built(pull_request)
        return pull_request

    async def push(self, pull_request: PullRequest) -> str:
        commit = pull_request.push()
        await self.built(pull_request)
        return commit.hash

    async def foreign(self, id: str, number: str = "1", **project: Any) -> None:
        """A build that another handler had started."""
        whole = {
            "id": "acme-site",
            "owner": "acme",
            "repo": "site",
            "slug": "acme/site",
            "service_auth": {"token": canary("t"), "refreshToken": canary("r")},
            "provider": {"type": "bitbucket", "slug": "bitbucket"},
            **project,
        }
        build = {
            "id": id,
            "commit": {"ref": "d96c25c4ae50"},
            "branch": {"name": "feature/change"},
            "config": {"steps": []},
            "pullRequest": {"number": number},
        }
        self.container_manager.start(build, whole)
        await self.container_manager.wait_for(id)

    def told(self, pull_request: PullRequest, commit: str = "", key: str = "ProboCI/env") -> tuple[str, str]:
        """State and words of what Bitbucket shows of a commit, the newest where none is named.

        What does not lead to the environment leads to the pull request.
        """
        shown = self.repository.shown_statuses(commit or pull_request.commit)
        (status,) = (status for status in shown if status.key == key)
        page = status.url.endswith(f"/acme/site/pull-requests/{pull_request.number}")
        assert page == ("environment gone" in status.description.lower()), status
        return str(status.state), status.description

    async def merged(self, pull_request: PullRequest) -> None:
        """Merge it, wait until a status was posted for that, and see that no other follows."""
        before = len(self.asked("/statuses/build", "POST"))
        pull_request.merge()
        await self.until(lambda: len(self.asked("/statuses/build", "POST")) > before)
        await self.settled()
        assert len(self.asked("/statuses/build", "POST")) == before + 1

    def numbered(self) -> list[tuple[str, str]]:
        """Pull request and commit of every environment that is there."""
        found = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        return sorted((build["pullRequest"]["number"], build["commit"]["ref"]) for build in found)

    async def pinned_while_it_runs(self, *, step_time: float) -> tuple[PullRequest, str]:
        """A pull request whose build is at its first step and pinned, and the build's id."""
        self.container_manager.setting.step_time = step_time
        pull_request = self.repository.open_pull_request()
        told = "SELECT 1 FROM statuses WHERE \"key\" = 'ProboCI/Shell/Hello' AND desired LIKE '%INPROGRESS%'"
        await self.until(lambda: self.rows(told))
        (build_id,) = self.container_manager.builds
        self.container_manager.pin(build_id, True)
        return pull_request, build_id


class Told(Environments):
    async def closed(self) -> list[str]:
        """The builds of a pull request that was merged while its second one waited, by their ids."""
        pull_request = await self.opened()
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request.push()
        await self.decided(3)
        pull_request.merge()
        await self.decided(4)
        self.cloud.faults.remove(fault)
        await self.settled()
        return [id for (id,) in self.rows("SELECT id FROM builds ORDER BY created_at")]

    async def test_the_delivery_that_closes_a_pull_request_tells_which_builds_it_ended(self) -> None:
        first, second = await self.closed()
        told = (await self.call("GET", "/api/deliveries/4")).json
        assert [build["id"] for build in told["ended"]] == [second, first]
        assert told["delivery"]["title"] == "Change"
        assert {build["ended_by"] for build in told["ended"]} == {"delivery 4"}
        page = (await self.call("GET", "/deliveries/4")).body.decode()
        assert f"/builds/{first}" in page
        assert f"/builds/{second}" in page
        said = await self.run_command("deliveries", "show", "4")
        assert first in said
        assert told["ended"][0]["commit"] in said
        assert "was not started" in said
        assert (await self.call("GET", "/api/deliveries/2")).json["ended"] == []

    async def test_a_delivery_tells_of_the_builds_that_only_the_container_manager_knew(self) -> None:
        await self.foreign("started-elsewhere")
        self.unannounced().decline()
        await self.settled()
        told = (await self.call("GET", "/api/deliveries/1")).json
        (stranger,) = told["ended_strangers"]
        assert (stranger["id"], told["ended"]) == ("started-elsewhere", [])
        assert stranger["removal"]["done_at"] >= stranger["removal"]["wanted_at"]
        page = (await self.call("GET", "/deliveries/1")).body.decode()
        assert "not known here" in page
        assert "started-elsewhere" in page
        said = await self.run_command("deliveries", "show", "1")
        assert "started-elsewhere" in said
        assert "pull request #1 is declined" in said

    async def test_a_build_tells_when_it_was_taken_down(self) -> None:
        first, _ = await self.closed()
        removal = (await self.call("GET", f"/api/builds/{first}")).json["build"]["removal"]
        assert removal["wanted_at"] < removal["done_at"]
        page = (await self.call("GET", f"/builds/{first}")).body.decode()
        assert datetime.fromtimestamp(removal["done_at"], UTC).strftime("%H:%M:%S") in page.partition("Taken down")[2]
        assert "wanted" in page.partition("Taken down")[2]
        said = await self.run_command("builds", "show", first)
        assert datetime.fromtimestamp(removal["done_at"]).strftime("%H:%M:%S") in said.partition("Taken down")[2]  # noqa: DTZ006
        assert "delivery 4" in said


class Life(Environments):
    async def test_a_pull_request_that_is_opened_updated_twice_and_merged_has_the_right_environment_each_time(
        self,
    ) -> None:
        pull_request = await self.opened()
        assert self.standing() == [pull_request.commit]
        for _ in range(2):
            commit = await self.push(pull_request)
            assert self.standing() == [commit]
        assert {build["reapedReason"] for build in self.removed().values()} == {"3"}
        pull_request.merge()
        await self.settled()
        assert self.standing() == []
        assert sorted(build["reapedReason"] for build in self.removed().values()) == ["3", "3", "4"]
        assert {state for (state,) in self.rows("SELECT state FROM builds")} == {"removed"}
        self.check_container_manager()

    async def test_every_removal_is_forced_and_says_why_and_when(self) -> None:
        pull_request = await self.opened()
        pull_request.decline()
        await self.settled()
        (request,) = self.deletions()
        query = parse_qs(request.query)
        assert (query["force"], query["reason"]) == (["true"], ["4"])
        assert query["reasonText"] == ["pull request #1 is declined"]
        assert abs(int(query["reapedDate"][0]) / 1000 - reactor.seconds()) < 60

    async def test_the_environment_of_another_pull_request_of_the_same_branch_stays(self) -> None:
        first = await self.opened()
        second = self.repository.open_pull_request("The same", first.branch)
        await self.until(lambda: len(self.container_manager.builds) == 2)
        await self.settled()
        first.decline()
        await self.settled()
        assert len(self.removed()) == 1
        (standing,) = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        assert standing["pullRequest"]["number"] == str(second.number)
        assert set(self.states(second).values()) == {"SUCCESSFUL"}

    async def test_two_pull_requests_of_one_branch_have_one_environment_each_until_their_own_ends(self) -> None:
        first = await self.opened()
        second = self.repository.open_pull_request("The same", first.branch)
        await self.until(lambda: len(self.container_manager.builds) == 2)
        await self.settled()
        assert self.numbered() == [("1", first.commit), ("2", first.commit)]
        for builds in (4, 6):
            first.push()
            await self.until(lambda builds=builds: len(self.container_manager.builds) == builds)
            await self.settled()
            assert self.numbered() == [("1", first.commit), ("2", first.commit)]
        second.decline()
        await self.settled()
        assert self.numbered() == [("1", first.commit)]
        first.merge()
        await self.settled()
        assert self.numbered() == []

    async def test_the_results_of_another_pull_request_of_the_same_branch_are_shown_again(self) -> None:
        first = await self.opened()
        results = self.states(first)
        self.container_manager.setting.step_time = 0.5
        second = self.repository.open_pull_request("For the wrong branch", first.branch)
        await self.until(lambda: self.states(first)["ProboCI/Shell/Hello"] == "INPROGRESS")
        second.decline()
        await self.settled()
        await self.until(lambda: self.states(first) == results)

    async def test_what_is_in_progress_when_the_pull_request_is_closed_is_stopped_and_stays_so(self) -> None:
        self.container_manager.setting.step_time = 0.3
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Hello") == "INPROGRESS")
        (build_id,) = self.container_manager.builds
        pull_request.decline()
        await self.settled()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL", "STOPPED"}
        update = {"state": "running", "description": "[▶] late", "context": "ProboCI/Shell/Hello", "task": {"id": "9"}}
        body = {"update": update, "build": self.container_manager.builds[build_id]}
        answer = await self.call("POST", f"/builds/{build_id}/status/ProboCI%2FShell%2FHello", body)
        assert (answer.status, answer.json["state"]) == (200, "INPROGRESS")
        await self.settled()
        assert self.states(pull_request)["ProboCI/Shell/Hello"] == "STOPPED"

    async def test_a_build_that_waits_is_never_started(self) -> None:
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.asked("/src/"))
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE state = 'cancelled'"))
        self.cloud.faults.remove(fault)
        await self.settled()
        assert self.started() == []
        ((reason,),) = self.rows("SELECT reason FROM builds")
        assert reason == "pull request #1 is declined"

    async def test_a_build_whose_configuration_is_found_wrong_after_the_end_shows_nothing(self) -> None:
        self.cloud.faults.add(Fault(Slow(0.2), ".*/src/.*"))
        pull_request = self.repository.open_pull_request(files={".probo.yaml": BROKEN})
        await self.until(lambda: self.asked("/src/"))
        pull_request.decline()
        await self.settled()
        await self.stage.stop_handler()  # what is in hand ends first
        assert self.rows("SELECT state FROM builds") == [("cancelled",)]
        assert self.rows("SELECT key FROM statuses") == []

    async def test_a_build_that_is_just_being_started_is_taken_down_once_it_is_there(self) -> None:
        self.container_manager.faults.add(Fault(Slow(0.3), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE state = 'starting'"))
        pull_request.decline()
        await self.settled()
        assert len(self.container_manager.started) == 1
        assert self.standing() == []
        assert set(self.states(pull_request).values()) <= {"STOPPED"}

    async def test_a_build_that_was_started_unheard_is_taken_down_and_not_started_again(self) -> None:
        self.container_manager.faults.add(Fault(LoseAnswer(), "/startbuild", times=1))
        find = self.container_manager.faults.add(Fault(Answer(503), "/builds/.*", method="GET"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.container_manager.started)
        pull_request.decline()
        await self.decided(2)
        self.container_manager.faults.remove(find)
        await self.settled()
        assert list(self.container_manager.started.values()) == [1]
        assert self.standing() == []

    async def test_a_build_that_could_not_be_sent_before_the_end_is_not_sent_after_it(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: len(self.posted("/startbuild")) > 1)
        pull_request.decline()
        await self.decided(2)
        self.container_manager.faults.remove(fault)
        await self.settled()
        assert not self.container_manager.started
        assert self.rows("SELECT state FROM builds") == [("cancelled",)]


class LongLife(Environments):
    """Four pull requests side by side, each looked at when nothing is left to be done but for what is pinned."""

    settings: ClassVar[dict[str, Any]] = {"forks": "always"}

    async def remain(self, *expected: tuple[PullRequest, str]) -> None:
        """These environments are there, by pull request and commit, once everything has had its effect; no others."""
        named = sorted((str(pull_request.number), commit) for pull_request, commit in expected)
        await self.until(lambda: self.numbered() == named)
        await self.cloud.settled()
        await self.until(lambda: not self.rows("SELECT 1 FROM deliveries WHERE pending"))
        await self.until(lambda: not self.rows("SELECT 1 FROM removals WHERE pending AND NOT pinned"))
        assert self.numbered() == named
        self.check_container_manager()

    async def test_of_all_that_is_opened_updated_twice_and_closed_the_right_environments_remain(self) -> None:
        first = self.repository.open_pull_request("One", "feature/shared", {"a": b"1"})
        same = self.repository.open_pull_request("The same branch", "feature/shared")
        other = self.repository.open_pull_request("Pinned", "feature/pinned", {"b": b"1"})
        fork = self.cloud.fork(self.repository, "robin/site")
        afar = self.repository.open_pull_request("From afar", "patch", {"c": b"1"}, source=fork)
        await self.remain((first, first.commit), (same, first.commit), (other, other.commit), (afar, afar.commit))
        pinned, (kept,) = (
            other.commit,
            [id for id, build in self.container_manager.builds.items() if build["commit"]["ref"] == other.commit],
        )
        self.container_manager.pin(kept, True)
        for _ in range(2):
            for pull_request in (first, other, afar):  # the branch of the first is that of the same
                pull_request.push()
            await self.remain(
                (first, first.commit), (same, first.commit), (other, pinned), (other, other.commit), (afar, afar.commit)
            )
        same.decline()
        await self.remain((first, first.commit), (other, pinned), (other, other.commit), (afar, afar.commit))
        afar.merge()
        await self.remain((first, first.commit), (other, pinned), (other, other.commit))
        other.merge()
        await self.remain((first, first.commit), (other, pinned))
        first.merge()
        await self.remain((other, pinned))
        self.container_manager.pin(kept, False)
        await self.remain()
        await self.settled()
        states = {str(status.state) for history in self.repository.statuses.values() for status in history[-1:]}
        assert states <= {"SUCCESSFUL", "STOPPED"}


class Superseded(Environments):
    async def test_the_old_environment_stays_until_the_new_one_is_ready(self) -> None:
        pull_request = await self.opened()
        fault = self.cloud.faults.add(Fault(Answer(404), ".*/get/.*"))  # the download of the new one fails
        failed = await self.push(pull_request)
        assert len(self.standing()) == 2
        self.cloud.faults.remove(fault)
        newest = await self.push(pull_request)
        assert self.standing() == [newest]
        assert failed != newest

    async def test_what_waits_for_an_old_commit_is_cancelled_by_a_new_one(self) -> None:
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.asked("/src/"))
        pull_request.push()
        await self.decided(3)
        self.cloud.faults.remove(fault)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        assert self.standing() == [pull_request.commit]
        assert sorted(self.rows("SELECT state FROM builds")) == [("cancelled",), ("running",)]

    async def test_the_old_commits_statuses_do_not_stay_in_progress(self) -> None:
        self.container_manager.setting.step_time = 0.4
        pull_request = self.repository.open_pull_request()
        first = pull_request.commit
        await self.until(lambda: "INPROGRESS" in self.states(pull_request).values())
        await self.push(pull_request)
        assert "INPROGRESS" not in {str(state) for state in self.repository.shown(first).values()}

    async def test_an_older_build_that_gets_ready_last_gives_way_to_the_newer_one(self) -> None:
        archive = self.cloud.faults.add(Fault(Slow(0.5), ".*/get/.*", times=1))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.container_manager.started)
        newest = await self.push(pull_request)
        self.cloud.faults.remove(archive)
        assert self.standing() == [newest]


class Gone(Environments):
    async def test_what_was_replaced_and_what_was_closed_say_so_with_one_request_each(self) -> None:
        pull_request = await self.opened()
        first = pull_request.commit
        second = await self.push(pull_request)
        words = "Environment gone: a newer environment of pull request #1 is ready"
        assert self.told(pull_request, first) == ("SUCCESSFUL", words)
        assert self.told(pull_request, second) == ("SUCCESSFUL", "[■] Environment ready")
        await self.merged(pull_request)
        assert self.told(pull_request) == ("SUCCESSFUL", "Environment gone: pull request #1 is merged")

    async def test_what_is_taken_down_by_hand_keeps_its_result(self) -> None:
        """Checks before a merge count it, and it was as ready as it said."""
        pull_request = await self.opened()
        (build_id,) = self.container_manager.builds
        await self.run_command("builds", "take-down", build_id)
        await self.settled()
        assert self.told(pull_request) == ("SUCCESSFUL", "Environment gone: taken down by hand")
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}

    async def test_one_that_was_never_ready_says_what_it_said(self) -> None:
        self.cloud.faults.add(Fault(Answer(404), ".*/get/.*"))
        pull_request = await self.opened()
        failed = self.told(pull_request)
        pull_request.decline()
        await self.settled()
        assert (failed[0], self.told(pull_request)) == ("FAILED", failed)

    async def test_what_another_pull_request_shows_of_the_commit_stays(self) -> None:
        first = await self.opened()
        second = self.repository.open_pull_request("The same", first.branch)
        await self.until(lambda: len(self.container_manager.builds) == 2)
        await self.settled()
        first.decline()
        await self.settled()
        assert self.told(second) == ("SUCCESSFUL", "[■] Environment ready")

    async def test_where_requests_are_short_it_waits(self) -> None:
        pull_request = await self.opened()
        for _ in range(int(0.85 * self.cloud.rate_limit.limit)):
            self.cloud.rate_limit.spend(KEY)
        first = pull_request.commit
        pull_request.push()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE NOT pending"))
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})
        await self.until(lambda: self.rows("SELECT 1 FROM statuses WHERE pending AND attempts > 0"))
        assert self.told(pull_request, first) == ("SUCCESSFUL", "[■] Environment ready")


class GoneInSummary(Environments):
    settings: ClassVar[dict[str, Any]] = {"statuses": "summary"}

    async def test_the_summary_says_it_with_one_request(self) -> None:
        pull_request = await self.opened()
        await self.merged(pull_request)
        words = "2 of 2 steps; environment gone: pull request #1 is merged"
        assert self.told(pull_request, key="ProboCI") == ("SUCCESSFUL", words)


class GoneInBoth(Environments):
    settings: ClassVar[dict[str, Any]] = {"statuses": "both"}

    async def test_the_environment_says_it_and_the_summary_stays(self) -> None:
        pull_request = await self.opened()
        await self.merged(pull_request)
        assert self.told(pull_request) == ("SUCCESSFUL", "Environment gone: pull request #1 is merged")
        assert self.told(pull_request, key="ProboCI") == ("SUCCESSFUL", "2 of 2 steps")


class Renamed(Environments):
    async def test_what_was_built_under_the_old_name_makes_room_and_ends_with_the_pull_request(self) -> None:
        pull_request = await self.opened()
        self.cloud.rename_repository(self.repository, "acme/renamed")
        for _ in range(2):
            commit = await self.push(pull_request)
            assert self.standing() == [commit]
        pull_request.merge()
        await self.settled()
        assert self.standing() == []
        assert self.rows("SELECT repository, state FROM pull_requests") == [("acme/renamed", "MERGED")]

    async def test_it_is_shown_as_one_pull_request_under_either_name(self) -> None:
        pull_request = await self.opened()
        self.cloud.rename_repository(self.repository, "acme/renamed")
        await self.push(pull_request)
        listed = (await self.call("GET", "/api/pull-requests")).json["items"]
        assert [(each["repository"], each["pull_request"]) for each in listed] == [("acme/renamed", 1)]
        for name in ("site", "renamed"):
            told = (await self.call("GET", f"/api/pull-requests/acme/{name}/1")).json
            assert told["newest"]["repository"] == "acme/renamed"
            assert [each["repository"] for each in told["builds"]["items"]] == ["acme/renamed", "acme/site"]

    async def test_a_branch_is_not_built_besides_a_pull_request_that_was_told_of_under_the_old_name(self) -> None:
        pull_request = await self.opened()
        self.cloud.rename_repository(self.repository, "acme/renamed")
        commit = self.quietly(lambda: pull_request.push(message="[build]"))
        self.cloud.hooks.clear()
        self.stage.watch("acme/renamed", "repo:push")
        self.repository.tell_push(Change(pull_request.branch, None, commit))
        ((_, state, reason),) = (await self.decided(2))[1:]
        assert (state, "pull request #1 has it built" in reason) == ("ignored", True), reason


class Pinned(Environments):
    async def test_a_pinned_build_is_not_shown_as_stopped_before_it_is_known_to_be_pinned(self) -> None:
        self.patch(desire, "PILE", 5.0)
        pull_request, build_id = await self.pinned_while_it_runs(step_time=0.5)
        pull_request.decline()
        await self.container_manager.wait_for(build_id)
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})
        shown = [str(status.state) for history in self.repository.statuses.values() for status in history]
        assert set(shown) == {"INPROGRESS", "SUCCESSFUL"}

    async def test_what_a_build_told_before_it_was_known_to_be_pinned_is_shown(self) -> None:
        self.cloud.faults.add(Fault(Slow(0.5), ".*/get/.*"))
        self.container_manager.setting.step_time = 1.5
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT 1 FROM statuses WHERE desired LIKE '%INPROGRESS%'"))
        (build_id,) = self.container_manager.builds
        self.container_manager.pin(build_id, True)
        held = self.container_manager.faults.add(Fault(Hang(), "/builds.*"))
        pull_request.decline()
        ready = "[■] Environment ready"
        await self.until(lambda: any(ready.encode() in call.body for call in self.container_manager.calls))
        self.container_manager.faults.remove(held)
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})

    async def test_a_pinned_build_that_is_replaced_while_it_runs_goes_on_to_show_what_it_does(self) -> None:
        pull_request, build_id = await self.pinned_while_it_runs(step_time=1.0)
        old = pull_request.commit
        self.container_manager.setting.step_time = 0.0
        pull_request.push()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE pinned"))
        await self.until(lambda: str(self.repository.shown(old)["ProboCI/Shell/Hello"]) == "INPROGRESS")
        await self.container_manager.wait_for(build_id)
        await self.until(lambda: {str(state) for state in self.repository.shown(old).values()} == {"SUCCESSFUL"})
        assert self.standing() == [old, pull_request.commit]
        newest = await self.push_beside_pinned(pull_request)
        assert self.standing() == [old, newest]
        assert {str(state) for state in self.repository.shown(old).values()} == {"SUCCESSFUL"}
        self.container_manager.pin(build_id, False)
        await self.settled()
        assert self.standing() == [newest]

    async def push_beside_pinned(self, pull_request: PullRequest) -> str:
        """A push, once all but the pinned environment is as it should be."""
        commit = pull_request.push()
        await self.until(lambda: self.standing()[1:] == [commit.hash])
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})
        return commit.hash

    async def test_a_pinned_build_that_is_unpinned_while_it_runs_is_shown_as_stopped(self) -> None:
        pull_request, build_id = await self.pinned_while_it_runs(step_time=5.0)
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE pinned"))
        await self.until(lambda: self.states(pull_request)["ProboCI/Shell/Hello"] == "INPROGRESS")
        self.container_manager.pin(build_id, False)
        await self.until(lambda: self.states(pull_request)["ProboCI/Shell/Hello"] == "STOPPED")
        await self.until(lambda: not self.standing())


class PinnedInSummary(Environments):
    settings: ClassVar[dict[str, Any]] = {"statuses": "summary"}

    async def test_its_summary_is_not_shown_as_stopped_before_it_is_known_to_be_pinned(self) -> None:
        self.patch(desire, "PILE", 5.0)
        pull_request, build_id = await self.pinned_while_it_runs(step_time=0.5)
        pull_request.decline()
        await self.container_manager.wait_for(build_id)
        await self.until(lambda: self.states(pull_request) == {"ProboCI": "SUCCESSFUL"})
        shown = [str(status.state) for history in self.repository.statuses.values() for status in history]
        assert set(shown) == {"INPROGRESS", "SUCCESSFUL"}


class KeepTwo(Environments):
    settings: ClassVar[dict[str, Any]] = {"keepBuilds": 2}

    async def test_as_many_environments_stay_as_the_settings_say_and_none_after_the_end(self) -> None:
        pull_request = await self.opened()
        commits = [pull_request.commit]
        for _ in range(3):
            commits.append(await self.push(pull_request))
            assert self.standing() == commits[-2:]
        pull_request.merge()
        await self.settled()
        assert self.standing() == []


class LeftToTheReaper(Environments):
    settings: ClassVar[dict[str, Any]] = {"teardown": False}

    async def test_nothing_is_taken_down_but_what_waits_is_cancelled(self) -> None:
        pull_request = await self.opened()
        await self.push(pull_request)
        fault = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request.push()
        await self.decided(5)
        pull_request.decline()
        await self.decided(6)
        self.cloud.faults.remove(fault)
        await self.settled()
        assert (self.deletions(), len(self.standing())) == ([], 2)
        assert [path for path in self.container_manager.requests if path.path == "/builds"] == []


class Remains(Environments):
    async def test_builds_that_the_store_does_not_know_are_taken_down_by_repository_and_number(self) -> None:
        await self.foreign("old")
        await self.foreign("old-by-uuid", provider_id=self.repository.uuid)
        await self.foreign("other-number", "11")
        await self.foreign("other-repository", slug="acme/other")
        await self.foreign("other-uuid", provider_id="{another}")
        pull_request = self.unannounced()
        pull_request.decline()
        await self.settled()
        assert set(self.removed()) == {"old", "old-by-uuid"}

    async def test_another_providers_build_of_the_same_number_stays(self) -> None:
        await self.foreign("theirs", provider={"type": "github", "slug": "github"})
        pull_request = self.unannounced()
        pull_request.decline()
        await self.settled()
        assert self.removed() == {}

    async def test_a_pinned_environment_stays_until_it_is_unpinned(self) -> None:
        pull_request = await self.opened()
        (build_id,) = self.container_manager.builds
        self.container_manager.pin(build_id, True)
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE pending AND last_error = 'it is pinned'"))
        assert self.deletions() == []
        self.container_manager.pin(build_id, False)
        await self.settled()
        assert self.standing() == []


class Troubles(Environments):
    async def test_what_could_not_be_taken_down_is_taken_down_after_a_restart(self) -> None:
        pull_request = await self.opened()
        troubles = [self.container_manager.faults.add(Fault(Answer(503), "/builds.*", method="DELETE|GET"))]
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT build_id FROM removals WHERE attempts > 0"))
        await self.stage.stop_handler()
        for trouble in troubles:
            self.container_manager.faults.remove(trouble)
        self.stage.start_handler()
        await self.settled()
        assert self.standing() == []

    async def test_an_outage_of_the_container_manager_delays_a_removal_and_loses_none(self) -> None:
        pull_request = await self.opened()
        await self.container_manager.stop()
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT build_id FROM removals WHERE attempts > 0"))
        await self.container_manager.listen(reactor, int(self.container_manager.url.rpartition(":")[2]))
        await self.settled()
        assert self.standing() == []

    async def test_a_page_in_the_place_of_the_answer_is_no_removal(self) -> None:
        pull_request = await self.opened()
        for status in (200, 404):
            page = Answer(status, b"<html>Down for maintenance</html>", HTML)
            self.container_manager.faults.add(Fault(page, "/builds/.*", method="DELETE", times=1))
        missing = Answer(404, b"<html>No such page</html>", HTML)
        self.container_manager.faults.add(Fault(missing, "/builds/.*", method="GET", times=1))
        pull_request.merge()
        await self.until(lambda: self.standing() == [])
        assert len(self.deletions()) == 3

    async def test_a_removal_whose_answer_was_lost_is_no_harm(self) -> None:
        pull_request = await self.opened()
        self.container_manager.faults.add(Fault(LoseAnswer(), "/builds/.*", method="DELETE", times=1))
        self.container_manager.faults.add(Fault(Cut(), "/builds", method="GET", times=1))
        pull_request.decline()
        await self.settled()
        assert self.standing() == []
        assert self.rows("SELECT state FROM builds") == [("removed",)]
        self.check_container_manager()


class GivenUp(Environments):
    settings: ClassVar[dict[str, Any]] = {"retryFor": 0}

    async def test_what_was_given_up_on_is_kept_with_its_reason(self) -> None:
        pull_request = await self.opened()
        self.container_manager.faults.add(Fault(Answer(503), "/builds.*", method="DELETE|GET"))
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE NOT pending"))
        await self.until(lambda: self.rows("SELECT 1 FROM pull_requests WHERE NOT pending AND state = 'DECLINED'"))
        errors = self.rows("SELECT last_error FROM removals UNION ALL SELECT last_error FROM pull_requests")
        assert [error for (error,) in errors] == ["the Container Manager answered 503"] * 2
        assert len(self.standing()) == 1

    async def test_a_pinned_build_that_is_given_up_on_while_it_runs_is_shown_as_stopped(self) -> None:
        pull_request, build_id = await self.pinned_while_it_runs(step_time=30.0)
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE pinned"))
        await self.until(lambda: self.states(pull_request)["ProboCI/Shell/Hello"] == "INPROGRESS")
        self.container_manager.faults.add(Fault(Answer(503), "/builds/.*", method="DELETE"))
        self.container_manager.pin(build_id, False)
        await self.until(lambda: self.rows("SELECT 1 FROM removals WHERE NOT pending"))
        await self.until(lambda: self.states(pull_request)["ProboCI/Shell/Hello"] == "STOPPED")
        assert len(self.standing()) == 1


class Coordinated(Environments):
    async def prepare(self) -> None:
        auth = {"token": canary("t"), "refreshToken": self.cloud.credentials.issue_refresh_token(KEY), "type": "token"}
        provider = {"type": "bitbucket", "slug": "bitbucket"}
        project = {"id": "project-1", "owner": "acme", "repo": "site", "slug": "acme/site", "provider": provider}
        projects = {"acme/site": {**project, "service_auth": auth}}
        self.coordinator = Coordinator(reactor, self.container_manager, token=canary("the-token"), projects=projects)
        self.stage._given["api"] = {"url": await self.coordinator.listen(reactor), "token": canary("the-token")}

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.coordinator.stop()

    async def test_environments_are_the_coordinators_matter_which_is_told_of_the_end(self) -> None:
        pull_request = self.repository.open_pull_request()
        for count in (1, 2):
            await self.until(lambda count=count: len(self.container_manager.started) == count)
            await self.settled()
            pull_request.push() if count == 1 else pull_request.merge()
        assert self.rows("SELECT build_id FROM removals") == []
        await self.until(lambda: self.coordinator.closed == [("project-1", "feature/change")])
        await self.settled()
        assert (self.deletions(), len(self.standing())) == ([], 2)
        assert {state for (state,) in self.rows("SELECT state FROM builds")} == {"removed"}
        assert self.told(pull_request) == ("SUCCESSFUL", "[■] Environment ready")  # nobody here knows when it goes


del Environments  # it has no tests of its own
