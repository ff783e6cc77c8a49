"""Webhooks that are made, mended, listed, removed and tried from here, in a Bitbucket as strict as the real one."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.bitbucket.hooks import EVENTS
from probo_bitbucket.flow.oversight import trial
from probo_bitbucket.sandbox.faults import Answer, Cut, Fault, LoseAnswer
from probo_bitbucket.sandbox.hooks import Hook
from tests.staged import StageTestCase
from tests.test_cli import CommandTestCase


class HookTestCase(StageTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(trial, "PATIENCE", 2.0)
        self.patch(trial, "PAUSE", 0.02)
        self.cloud.hooks.clear()

    async def api(self, what: str, **body: Any) -> Any:
        """What the daemon answers to a POST of *body* to `/api/…`."""
        answered = await self.call("POST", f"/api/{what}", body)
        self.assertEqual(answered.status, 200, answered)
        return answered.json

    async def change(self, what: str, *places: str, **body: Any) -> list[str]:
        """What became of each place."""
        reports = (await self.api(f"hooks/{what}", places=places or ("acme/site",), **body))["hooks"]
        return [each["what"] for each in reports]

    async def listed(self, *places: str) -> list[Any]:
        query = "&".join(f"place={place}" for place in places)
        return list((await self.call("GET", f"/api/hooks?{query}")).json["hooks"])

    async def tried(self) -> tuple[str, str, str]:
        """Grade, words and advice of a test of the webhook."""
        verdict = await self.api("hooks/test", repository="acme/site")
        return verdict["grade"], verdict["what"], verdict["advice"]

    def hook(self, place: str = "acme/site") -> Hook:
        [hook] = self.cloud.hooks[place]
        return hook


class Made(HookTestCase):
    async def test_a_webhook_that_was_made_delivers_and_nobody_copied_a_secret(self) -> None:
        self.assertEqual(await self.change("add"), ["made"])
        hook = self.hook()
        self.assertEqual((hook.url, hook.active), (f"{self.stage.url}/bitbucket-webhook", True))
        self.assertEqual(hook.events, set(EVENTS))
        pull_request = self.repository.open_pull_request(files={"a": b"1"})
        await self.built(pull_request)
        self.assertEqual({each.status for each in self.cloud.deliveries.journal}, {200})

    async def test_a_secret_in_the_store_does_not_open_the_door_to_others(self) -> None:
        await self.change("add")
        self.hook().secret = "guessed"
        self.repository.open_pull_request(files={"a": b"1"})
        await self.cloud.settled()
        self.assertEqual({each.status for each in self.cloud.deliveries.journal}, {401})

    async def test_the_webhook_of_a_workspace_serves_its_repositories(self) -> None:
        self.assertEqual(await self.change("add", "acme"), ["made"])
        [report] = await self.listed("acme/site")
        self.assertEqual((report["grade"], report["what"]), ("ok", "that of acme serves it"))
        self.assertEqual((await self.tried())[0], "ok")

    async def test_making_one_that_is_there_mends_it(self) -> None:
        await self.change("add")
        self.hook().active = False
        self.assertEqual(await self.change("add"), ["mended what was wrong: it is inactive"])
        self.assertTrue(self.hook().active)

    async def test_what_was_refused_meanwhile_is_named_with_what_has_it_built(self) -> None:
        await self.change("add")
        self.hook().secret = "guessed"
        self.repository.open_pull_request(files={"a": b"1"})
        await self.cloud.settled()
        [report] = (await self.api("hooks/repair", places=("acme/site",)))["hooks"]
        self.assertEqual(
            (report["what"], report["advice"]),
            (
                "mended what was wrong: its last delivery was refused: X-Hub-Signature does not fit",
                "what it missed is built by: probo-bitbucket build acme/site NUMBER",
            ),
        )
        self.assertEqual(await self.change("repair"), ["nothing was wrong; its secret is new"])

    async def test_one_that_was_made_by_hand_is_taken_over(self) -> None:
        self.cloud.add_hook("acme/site", f"{self.stage.url}/bitbucket-webhook", ["repo:push"])
        [what] = await self.change("repair")
        self.assertIn("it has no secret", what)
        self.assertEqual(self.hook().events, set(EVENTS))

    async def test_two_of_it_become_one(self) -> None:
        for _ in range(2):
            self.cloud.add_hook("acme/site", f"{self.stage.url}/bitbucket-webhook", EVENTS, "c4n4ry-x")
        [report] = await self.listed("acme/site")
        self.assertIn("there are two", report["what"])
        await self.change("repair")
        self.hook()

    async def test_webhooks_of_others_are_left_alone(self) -> None:
        other = self.cloud.add_hook("acme/site", "https://other.example/hook", ["repo:push"], "c4n4ry-x")
        await self.change("add")
        self.assertEqual(await self.change("remove"), ["removed"])
        self.assertEqual(self.cloud.hooks["acme/site"], [other])
        self.assertEqual(await self.change("remove"), ["there was none"])

    async def test_a_place_that_cannot_be_reached_keeps_nobody_from_the_others(self) -> None:
        self.assertEqual(
            await self.change("add", "acme/nope", "acme/site"),
            ["Bitbucket answered 404: Repository acme/nope not found", "made"],
        )

    async def test_one_that_bitbucket_made_without_an_answer_delivers(self) -> None:
        self.cloud.faults.add(Fault(LoseAnswer(), path=".*/hooks", method="POST", times=1))
        [what] = await self.change("add")
        self.assertIn("the connection was broken off before an answer came", what)
        self.repository.push("main", {})
        await self.cloud.settled()
        self.assertEqual([each.status for each in self.cloud.deliveries.journal], [200])

    async def test_more_webhooks_than_bitbucket_takes_are_refused_in_its_words(self) -> None:
        for number in range(50):
            self.cloud.add_hook("acme/site", f"https://other.example/{number}", ["repo:push"])
        self.assertIn("can have no more", (await self.change("add"))[0])

    async def test_a_page_of_another_site_cannot_change_webhooks(self) -> None:
        sent = {"Origin": "https://stranger.example"}
        answered = await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]}, sent)
        self.assertEqual(answered.status, 403)
        self.assertEqual(self.cloud.hooks, {})


class Door(HookTestCase):
    """What is let in without a signature, where the settings have no secret."""

    settings: ClassVar[dict[str, Any]] = {"bbWebhookSecret": ""}

    async def unsigned(self) -> int:
        """What a delivery without a signature is answered with."""
        return (await self.call("POST", "/bitbucket-webhook", b"{}", {"X-Event-Key": "repo:fork"})).status

    async def test_what_fails_leaves_it_as_it_was(self) -> None:
        self.assertEqual(await self.unsigned(), 200)
        [what] = await self.change("add", "acme/nope")
        self.assertIn("404", what)
        self.cloud.faults.add(Fault(Answer(403), path=".*/hooks", method="POST"))
        [what] = await self.change("add")
        self.assertIn("403", what)
        await self.api("hooks/repair", places=[], new_secret=True)  # there is none
        self.assertEqual(await self.unsigned(), 200)
        self.assertEqual(self.rows("SELECT * FROM hook_secrets"), [])

    async def test_it_is_shut_while_there_is_a_webhook_with_a_secret_of_ours(self) -> None:
        await self.change("add", "acme/nope", "acme/site")
        self.assertEqual(await self.unsigned(), 401)
        await self.change("remove")
        self.assertEqual(await self.unsigned(), 200)


class Doubled(HookTestCase):
    async def test_a_webhook_beside_that_of_its_workspace_is_told_with_what_to_do(self) -> None:
        twice = "there are two webhooks, and everything comes twice"
        self.assertEqual(await self.change("add"), ["made"])
        self.assertEqual(await self.change("add", "acme"), [f"made; {twice}"])
        for place in ("acme/site", "acme"):
            [report] = (await self.api("hooks/repair", places=[place]))["hooks"]
            self.assertEqual(report["what"], f"nothing was wrong; its secret is new; {twice}")
            self.assertEqual((report["grade"], report["advice"]), ("warning", "probo-bitbucket hooks remove acme/site"))
        await self.change("remove")
        self.assertEqual(await self.change("repair", "acme"), ["nothing was wrong; its secret is new"])


class Rotated(HookTestCase):
    async def test_a_new_secret_counts_at_once(self) -> None:
        await self.change("add")
        self.assertEqual((await self.tried())[0], "ok")
        await self.change("repair", new_secret=True)
        self.assertEqual((await self.tried())[0], "ok")

    async def test_while_a_secret_is_changed_the_one_before_is_good(self) -> None:
        self.cloud.add_repository("acme/other")
        await self.change("add", "acme/site", "acme/other")
        before = self.hook().secret
        with_fault = self.cloud.faults.add(Fault(Answer(503), path=".*/acme/other/hooks/.*", method="PUT"))
        self.assertIn("503", str(await self.change("repair", "acme/site", "acme/other", new_secret=True)))
        self.assertNotEqual(self.hook().secret, before)
        self.assertEqual(self.hook("acme/other").secret, before)
        for name in ("acme/site", "acme/other"):
            self.cloud.repositories[name].push("main", {})
        await self.cloud.settled()
        self.assertEqual([each.status for each in self.cloud.deliveries.journal], [200, 200])

        self.cloud.faults.remove(with_fault)
        await self.api("hooks/repair", places=[])
        self.assertEqual(self.hook("acme/other").secret, self.hook().secret)


class Listed(HookTestCase):
    async def test_what_was_made_here_is_listed_with_its_last_delivery(self) -> None:
        await self.change("add")
        [report] = await self.listed()
        self.assertEqual((report["grade"], report["last_delivery"]), ("ok", None))
        self.repository.push("main", {})
        await self.cloud.settled()
        [report] = await self.listed()
        self.assertGreater(report["last_delivery"], 0)

    async def test_each_difference_is_named(self) -> None:
        await self.change("add")
        hook = self.hook()
        hook.active, hook.events, hook.url, hook.secret = False, hook.events - {"repo:push"}, "https://old.example/", ""
        [report] = await self.listed()
        for words in ("inactive", "events are missing: repo:push", "its URL is https://old.example/", "no secret"):
            self.assertIn(words, report["what"])
        self.assertEqual(report["advice"], "probo-bitbucket hooks repair acme/site")

    async def test_a_repository_without_webhook_is_named_with_what_to_do(self) -> None:
        [report] = await self.listed("acme/site")
        self.assertEqual(report["advice"], "probo-bitbucket hooks add acme/site")

    async def test_refused_deliveries_show_until_one_fits(self) -> None:
        await self.change("add")
        self.hook().secret = "wrong"
        self.repository.push("main", {})
        await self.cloud.settled()
        [report] = await self.listed()
        self.assertEqual(report["what"], "its last delivery was refused: X-Hub-Signature does not fit")
        await self.change("repair")
        [report] = await self.listed()
        self.assertEqual(report["grade"], "ok")


class Tried(HookTestCase, CommandTestCase):
    """`probo-bitbucket hooks test`, run as a process, against each single fault. `check` is in `test_check.py`."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.change("add")

    async def tried(self) -> tuple[str, str, str]:
        [verdict] = await self.document("hooks", "test", "acme/site", status=None)
        self.assertEqual(self.ended, int(verdict["grade"] == "wrong"), verdict)
        return verdict["grade"], verdict["what"], verdict["advice"]

    async def test_a_webhook_that_works_is_said_to_work_with_the_time_it_took(self) -> None:
        grade, what, _ = await self.tried()
        self.assertEqual(grade, "ok")
        self.assertRegex(what, r"^works, \d+\.\d s$")

    async def test_its_delivery_is_left_out_of_lists_unless_asked_for(self) -> None:
        await self.change("add")
        await self.tried()
        await self.call("POST", "/api/check")
        self.assertEqual((await self.call("GET", "/api/deliveries")).json["items"], [])
        shown = (await self.call("GET", "/api/deliveries?all=1")).json["items"]
        self.assertEqual([each["event_key"] for each in shown], ["probo-bitbucket:probe", "repo:commit_status_created"])
        self.assertIn("commit_status", await self.run_command("deliveries", "--all"))

    async def test_its_status_blocks_no_merge(self) -> None:
        await self.tried()
        [status] = self.repository.shown_statuses(self.repository.branches["main"])
        self.assertEqual((status.state, status.key[:16]), ("SUCCESSFUL", "ProboCI/webhook-"))

    async def test_wrong_secret(self) -> None:
        self.hook().secret = "wrong"
        self.assertEqual(
            await self.tried(),
            (
                "wrong",
                "the delivery arrived, but was refused: X-Hub-Signature does not fit",
                "probo-bitbucket hooks repair acme/site",
            ),
        )

    async def test_wrong_url(self) -> None:
        self.hook().url = "https://old.example/bitbucket-webhook"
        grade, what, _ = await self.tried()
        self.assertEqual((grade, what[:40]), ("wrong", "its URL is https://old.example/bitbucket"))

    async def test_inactive(self) -> None:
        self.hook().active = False
        self.assertEqual((await self.tried())[1], "it is inactive")

    async def test_events_missing(self) -> None:
        self.hook().events -= {"repo:commit_status_created"}
        self.assertEqual((await self.tried())[1], "events are missing: repo:commit_status_created")

    async def test_dead_credentials(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        grade, what, advice = await self.tried()
        self.assertEqual(grade, "wrong")
        self.assertEqual(
            advice, "open /setup, or put new ones into the settings, or run: probo-bitbucket setup --store"
        )
        self.assertIn("Bitbucket does not take the refresh token any more: ", what)

    async def test_the_scope_for_webhooks_missing_keeps_nobody_from_trying(self) -> None:
        self.grant("pullrequest")
        grade, what, advice = await self.tried()
        self.assertEqual(grade, "warning")
        self.assertIn("It needs webhook", what)
        self.assertIn("“Webhooks: Read and write”", advice)

    async def test_the_scope_for_statuses_missing(self) -> None:
        self.grant("webhook")
        grade, what, advice = await self.tried()
        self.assertEqual(grade, "wrong")
        self.assertIn("It needs repository", what)
        self.assertIn("“Repositories: Read”", advice)

    async def test_container_manager_down(self) -> None:
        self.container_manager.faults.add(Fault(Cut()))
        grade, what, advice = await self.tried()
        self.assertEqual(grade, "wrong")
        self.assertRegex(
            what, r"^the webhook works, \d+\.\d s, but nothing can be built: the Container Manager at 127\.0\.0\.1"
        )
        self.assertEqual(
            advice,
            f"start it, or correct the setting api.url, which is {self.container_manager.url}; look at its own log",
        )

    async def test_disk_full(self) -> None:
        await self.fill_disk()
        grade, what, advice = await self.tried()
        self.assertEqual((grade, advice), ("wrong", "make room on the disk, or start the database"))
        self.assertIn("database or disk is full", what)

    async def test_what_is_lost_on_the_way_is_told_from_what_the_public_url_answers(self) -> None:
        self.patch(trial, "PATIENCE", 0.1)
        self.cloud.deliveries.drop_every = 1
        _, what, advice = await self.tried()
        self.assertIn("delivered nothing here within 0.1 s, though the public URL answers from here", what)
        self.assertIn("View requests", advice)
