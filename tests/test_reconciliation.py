"""What Bitbucket's webhooks did not tell is found, and dealt with as if they had."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from twisted.logger import capturedLogs

from probo_bitbucket.sandbox.commits import uuid_of
from probo_bitbucket.sandbox.faults import JSON, Answer, Fault
from probo_bitbucket.sandbox.pullrequest import PullRequest, PullRequestState
from probo_bitbucket.sandbox.server import Recorded
from tests.staged import StageTestCase

CONFIGURATION = b"steps: [{name: Hello, command: echo hi}]"


class Looking(StageTestCase):
    """No look but those right after a start."""

    settings: ClassVar[dict[str, Any]] = {"reconcile": "1h"}

    async def known(self) -> PullRequest:
        """A pull request that a webhook told of: its repository is known then."""
        pull_request = self.repository.open_pull_request(branch="feature/known")
        await self.built(pull_request)
        return pull_request

    async def look(self) -> None:
        """Look at every repository, and wait until all is done that this leads to."""
        since = time.time()
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.until(lambda: self.rows("SELECT min(looked_at) FROM repositories")[0][0] >= since)
        await self.decided(len(self.decisions()))
        await self.settled()

    def listings(self) -> list[Recorded]:
        return [each for each in self.cloud.requests if each.method == "GET" and each.path.endswith("/pullrequests")]

    def found(self) -> list[tuple[Any, ...]]:
        """The numbers of what was found, and what became of it."""
        query = "SELECT pull_request, state FROM deliveries WHERE event_key = 'reconciliation' ORDER BY id"
        return self.rows(query)

    def environments(self) -> list[tuple[str, str]]:
        """Pull request and commit of every environment that there is."""
        builds = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        return sorted((build["pullRequest"]["number"], build["commit"]["ref"]) for build in builds)


class Reconciliation(Looking):
    async def test_a_pull_request_that_no_webhook_told_of_is_built(self) -> None:
        await self.known()
        missed = self.unannounced(branch="feature/missed")
        await self.look()
        assert set(self.states(missed).values()) == {"SUCCESSFUL"}
        assert self.found() == [(missed.number, "accepted")]
        origins = dict(self.rows("SELECT pull_request, origin FROM builds"))
        assert "found by reconciliation" in origins[missed.number]

    async def test_a_commit_that_no_webhook_told_of_is_built(self) -> None:
        pull_request = await self.known()
        self.quietly(lambda: pull_request.push({".probo.yaml": CONFIGURATION}))
        await self.look()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}
        assert self.environments() == [(str(pull_request.number), pull_request.commit)]

    async def test_a_pull_request_that_was_closed_unseen_is_taken_down(self) -> None:
        pull_request = await self.known()
        self.quietly(lambda: pull_request.merge(close_source_branch=True))
        await self.look()
        assert self.environments() == []
        assert self.rows("SELECT state FROM pull_requests") == [("MERGED",)]

    async def test_a_pull_request_that_was_opened_again_unseen_is_built_again(self) -> None:
        pull_request = await self.known()
        pull_request.decline()
        await self.settled()
        pull_request.state = PullRequestState.OPEN
        self.quietly(lambda: pull_request.tell("updated"))
        await self.look()
        assert self.found() == [(pull_request.number, "accepted")]
        assert self.environments() == [(str(pull_request.number), pull_request.commit)]

    async def test_where_nothing_was_missed_a_look_costs_one_request_and_leads_to_nothing(self) -> None:
        pull_request = await self.known()
        pull_request.comment("Nice!")  # which changes the time of its last change
        before = len(self.cloud.requests)
        await self.look()
        asked = [each.path for each in list(self.cloud.requests)[before:] if each.path.startswith("/2.0/")]
        assert asked == ["/2.0/repositories/acme/site/pullrequests"]
        assert self.found() == []

    async def test_what_was_found_once_is_not_found_again(self) -> None:
        await self.known()
        self.unannounced(branch="feature/missed")
        await self.look()
        await self.look()
        assert len(self.found()) == 1

    async def test_the_same_rules_apply(self) -> None:
        await self.known()
        self.unannounced(branch="feature/skipped", title="Not now [skip ci]")
        await self.look()
        assert [state for _, state in self.found()] == ["ignored"]
        assert len(self.started()) == 1

    async def test_all_pages_are_read(self) -> None:
        await self.known()
        for number in range(60):
            self.unannounced(branch=f"feature/{number}", title="[skip ci]")
        await self.look()
        assert len(self.found()) == 60
        assert len(self.listings()) == 2

    async def test_a_repository_that_is_gone_is_forgotten_unless_a_pull_request_of_it_is_open(self) -> None:
        pull_request = await self.known()
        gone = self.cloud.faults.add(Fault(Answer(404, b'{"error": {"message": "gone"}}'), ".*/pullrequests"))
        await self.look()
        ((seconds,),) = self.rows("SELECT due_at - looked_at FROM repositories")
        assert round(seconds) == 86_400
        self.cloud.faults.remove(gone)
        pull_request.decline()
        await self.settled()
        self.cloud.faults.add(Fault(Answer(404, b'{"error": {"message": "gone"}}'), ".*/pullrequests"))
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.until(lambda: not self.rows("SELECT name FROM repositories"))

    async def test_one_odd_pull_request_does_not_keep_the_others_from_being_found(self) -> None:
        pull_request = await self.known()
        self.quietly(pull_request.merge)
        for odd in (Answer(404), Answer(200, b'{"id": 1, "state": "OPEN"}', JSON)):
            missed = self.unannounced(branch=f"feature/{odd.status}")
            fault = self.cloud.faults.add(Fault(odd, f".*/pullrequests/{pull_request.number}"))
            with capturedLogs() as events:
                await self.look()
            self.cloud.faults.remove(fault)
            assert set(self.states(missed).values()) == {"SUCCESSFUL"}
            skipped = [each for each in events if each.get("event") == "reconciliation.skipped"]
            assert [each["pull_request"] for each in skipped] == [pull_request.number]

    async def test_a_repository_that_has_taken_the_name_of_a_renamed_one_is_not_taken_for_it(self) -> None:
        pull_request = await self.known()
        environments = self.environments()
        full_name = self.repository.full_name
        self.cloud.rename_repository(self.repository, "acme/renamed")
        other = self.cloud.add_repository(full_name, {".probo.yaml": CONFIGURATION})
        other.uuid = uuid_of("another one")
        its_own = self.quietly(other.open_pull_request)
        self.assertEqual(its_own.number, pull_request.number)
        for change in (its_own.push, its_own.merge):
            self.quietly(change)
            with capturedLogs() as events:
                await self.look()
            self.assertEqual(self.environments(), environments)
            self.assertIn("reconciliation.skipped", [each.get("event") for each in events])

    async def test_a_repository_is_looked_at_less_and_less_often_until_something_happens(self) -> None:
        await self.known()
        intervals, shares = [], set()
        for _ in range(6):
            await self.look()
            [(interval, share)] = self.rows("SELECT interval, (due_at - looked_at) / interval FROM repositories")
            intervals.append(interval)
            shares.add(share)
        assert len(shares) > 1, "all repositories would be looked at in the same moment"
        assert all(0.75 <= share < 1.25 for share in shares)
        assert intervals == [3600.0, 7200.0, 14400.0, 28800.0, 57600.0, 86400.0]
        self.repository.open_pull_request(branch="feature/other")
        await self.decided(2)
        [(interval, due_in)] = self.rows("SELECT interval, due_at - active_at FROM repositories")
        assert (interval, due_in) == (3600.0, 3600.0)


class OtherSettings(Looking):
    """What was left unbuilt is looked at with other eyes."""

    settings: ClassVar[dict[str, Any]] = {"reconcile": "1h", "drafts": False}

    async def restart_with(self, **settings: Any) -> None:
        self.stage._given |= settings
        await self.look()

    async def test_drafts_are_built_once_the_settings_have_them_built(self) -> None:
        await self.known()
        draft = self.repository.open_pull_request(branch="feature/draft", draft=True)
        skipped = self.repository.open_pull_request("[skip ci] Not this", branch="feature/skipped", draft=True)
        await self.decided(3)
        await self.restart_with()
        assert self.found() == []
        await self.restart_with(drafts=True)
        assert set(self.states(draft).values()) == {"SUCCESSFUL"}
        assert sorted(self.found()) == [(draft.number, "accepted"), (skipped.number, "ignored")]
        await self.look()
        assert len(self.found()) == 2

    async def test_forks_are_built_once_the_settings_have_them_built(self) -> None:
        fork = self.cloud.fork(self.repository, "robin/site")
        pull_request = self.repository.open_pull_request(source=fork)
        await self.decided(1)
        await self.restart_with(forks="approve")
        [status] = pull_request.shown()
        assert "a member can comment" in status.description
        await self.restart_with(forks="always")
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}
        await self.look()
        assert [state for _, state in self.found()] == ["refused", "accepted"]

    async def test_what_was_built_or_ended_is_not_built_again(self) -> None:
        pull_request = await self.known()
        stopped = self.repository.open_pull_request(branch="feature/stopped")
        await self.built(stopped)
        id = dict(self.rows("SELECT pull_request, id FROM builds"))[stopped.number]
        assert (await self.call("POST", f"/api/builds/{id}/take-down", b"")).status == 202
        await self.settled()
        await self.restart_with(drafts=True, forks="always")
        assert self.found() == []
        assert self.environments() == [(str(pull_request.number), pull_request.commit)]


class Never(Looking):
    settings: ClassVar[dict[str, Any]] = {"reconcile": "never"}

    async def test_nothing_is_looked_for(self) -> None:
        await self.known()
        await self.stage.stop_handler()
        self.stage.start_handler()
        pull_request = self.repository.open_pull_request(branch="feature/told")
        await self.built(pull_request)
        assert self.listings() == []


class EverySecondHookDropped(Looking):
    """Opened, changed, merged, declined: told of by half, or in full."""

    async def test_after_two_rounds_nothing_differs_from_a_run_without_drops(self) -> None:
        told = await self.play()
        self.cloud.deliveries.drop_every = 2
        half = await self.play()
        assert half != told, "nothing of importance was dropped"
        self.cloud.deliveries.drop_every = 0
        before = len(self.listings())
        looks = [await self.after_a_look(half.keys())]
        first_round = len(self.cloud.requests)
        looks.append(await self.after_a_look(half.keys()))
        assert list(looks[-1].values()) == list(told.values())
        assert looks[0] == looks[1]
        assert len(self.listings()) - before == 2  # one a round; what was missed costs what it would have cost at first
        assert len(self.cloud.requests) - first_round == 1

    async def play(self) -> dict[int, Any]:
        """Some pull requests and what happens to them. Returns how each is in the end, by its number."""
        opened = [self.repository.open_pull_request(branch=f"feature/{number}-{time.time()}") for number in range(8)]
        await self.quiet()
        for number, what in enumerate(("push", "push", "merge", "merge", "decline", "decline")):
            getattr(opened[number], what)()
            await self.quiet()
        for pull_request in opened[:2]:
            pull_request.push({".probo.yaml": b"steps: [{name: Fail, command: 'false'}]"})
            await self.quiet()
        return self.ends(pull_request.number for pull_request in opened)

    async def after_a_look(self, numbers: Any) -> dict[int, Any]:
        await self.look()
        return self.ends(numbers)

    async def quiet(self) -> None:
        await self.cloud.settled()
        await self.decided(len(self.decisions()))
        await self.settled()

    def ends(self, numbers: Any) -> dict[int, Any]:
        """How each pull request is, what its head shows, what was built of that, and its environments.

        What was opened and closed unseen was never built: of closed ones the environments alone count.
        """
        asked = [self.repository.pull_requests[number] for number in numbers]
        built = self.rows('SELECT pull_request, substr("commit", 1, 12), result FROM builds')
        return {
            each.number: (
                each.state,
                each.open and self.states(each),
                each.open and [rest for number, commit, *rest in built if (number, commit) == head_of(each)],
                [commit == each.commit for number, commit in self.environments() if number == str(each.number)],
            )
            for each in asked
        }


def head_of(pull_request: PullRequest) -> tuple[int, str]:
    return pull_request.number, pull_request.commit[:12]
