"""`probo-bitbucket check`, run as a process: each single fault is named, with what to do, and ends it with status 1."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, cast

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.web.pages import notFound
from twisted.web.server import Site

from probo_bitbucket.flow.oversight import silence
from probo_bitbucket.sandbox.faults import Answer, Cut, Fault
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from tests.test_cli import CommandTestCase
from tests.test_hooks import HookTestCase
from tests.web.certificates import write_certificates

CREDENTIALS = {"bbClientKey", "bbClientSecret", "bbRefreshToken"}


class CheckTestCase(HookTestCase, CommandTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.change("add")

    async def look(self) -> dict[str, dict[str, str]]:
        """The verdicts, by subject. The exit status must fit to them."""
        said = await self.document("check", status=None)
        self.assertEqual(self.ended, int(any(each["grade"] == "wrong" for each in said)), said)
        return {each["subject"]: each for each in said}

    async def wrong(self, *subjects: str) -> str:
        """What is said of these, which must be all that is wrong, with the advice on the first."""
        found = await self.look()
        self.assertEqual([each for each in found if found[each]["grade"] == "wrong"], list(subjects), found)
        return f"{found[subjects[0]]['what']} → {found[subjects[0]]['advice']}"


class WithDaemon(CheckTestCase):
    async def test_all_is_well(self) -> None:
        found = await self.look()
        self.assertEqual({each["grade"] for each in found.values()}, {"ok"}, found)
        self.assertEqual(
            list(found),
            [
                "settings",
                "files",
                "daemon",
                "store",
                "Bitbucket",
                "clock",
                "credentials default",
                "scopes default",
                "Container Manager",
                "public URL",
                "signatures",
                "webhook acme/site",
            ],
        )
        self.assertRegex(found["credentials default"]["what"], r"^an access token for another 1\d\d min")

    async def test_people_get_a_line_each(self) -> None:
        said = await self.command("check")
        self.assertRegex(said, r"(?m)^ok +Container Manager +answers, \d\.\d s")

    async def test_dead_credentials(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        said = await self.wrong("credentials default", "webhook acme/site")
        self.assertIn("Bitbucket does not take the refresh token any more: ", said)
        self.assertIn("→ open /setup, or put new ones into the settings, or run: probo-bitbucket setup --store", said)
        self.assertNotIn("coordinator", said)
        told = (await self.look())["webhook acme/site"]
        self.assertEqual((told["what"], told["advice"]), ("for the same reason as credentials default", ""))

    async def test_a_scope_missing(self) -> None:
        self.grant("webhook")
        self.assertIn("missing: repository, pullrequest", await self.wrong("scopes default"))

    async def test_the_scope_for_webhooks_missing_is_a_warning(self) -> None:
        self.grant("pullrequest")
        said = await self.look()
        self.assertEqual(said["scopes default"]["grade"], "warning")
        self.assertIn("“Webhooks: Read and write”", said["scopes default"]["advice"])

    async def test_container_manager_down(self) -> None:
        self.container_manager.faults.add(Fault(Cut()))
        said = await self.wrong("Container Manager")
        self.assertIn("the Container Manager at 127.0.0.1", said)
        self.assertIn(f"correct the setting api.url, which is {self.container_manager.url}", said)

    async def test_bitbucket_down(self) -> None:
        self.cloud.faults.add(Fault(Answer(503)))
        self.assertIn("answers 503", await self.wrong("Bitbucket", "scopes default", "webhook acme/site"))

    async def test_disk_full(self) -> None:
        await self.fill_disk()
        found = await self.look()
        self.assertEqual(found["store"]["grade"], "wrong")
        self.assertIn("make room on the disk", found["store"]["advice"])

    async def test_wrong_secret(self) -> None:
        self.hook().secret = "wrong"
        self.repository.push("main", {})
        await self.cloud.settled()
        said = await self.wrong("webhook acme/site")
        self.assertEqual(
            said,
            "its last delivery was refused: X-Hub-Signature does not fit → probo-bitbucket hooks repair acme/site",
        )

    async def test_wrong_url(self) -> None:
        self.hook().url = "https://old.example/hook"
        self.assertIn("its URL is https://old.example/hook", await self.wrong("webhook acme/site"))

    async def test_inactive(self) -> None:
        self.hook().active = False
        self.assertIn("it is inactive → probo-bitbucket hooks repair", await self.wrong("webhook acme/site"))

    async def test_events_missing(self) -> None:
        self.hook().events -= {"pullrequest:created"}
        self.assertIn("events are missing: pullrequest:created", await self.wrong("webhook acme/site"))

    async def test_files_that_others_can_read(self) -> None:
        (self.folder / "probo-bitbucket.db").chmod(0o644)
        self.assertIn("chmod 600", await self.wrong("files"))


class OfNoWebhookMadeHere(CheckTestCase):
    """The webhook was made by hand, and nothing was built yet."""

    async def setUp(self) -> None:  # type: ignore[override]
        await HookTestCase.setUp(self)
        self.stage.watch("acme/site", "repo:push")
        self.hook().secret = "wrong"
        self.repository.push("main", {})
        await self.cloud.settled()

    async def test_wrong_secret(self) -> None:
        uuid = self.hook().uuid.strip("{}")
        told = (await self.look())[f"webhook {uuid}"]
        self.assertEqual(told["grade"], "warning")  # anybody can send what is refused
        self.assertEqual(
            told["what"], "its deliveries are refused, 1 until now, the first 0 min ago: X-Hub-Signature does not fit"
        )
        self.assertIn("probo-bitbucket hooks add WORKSPACE/REPOSITORY", told["advice"])
        [listed] = await self.listed()
        self.assertEqual((listed["place"], listed["grade"]), (uuid, "warning"))

    async def test_nobody_fills_the_list_with_what_is_refused(self) -> None:
        for number in range(20):
            await self.refused_delivery(f"{number:08x}-0000-0000-0000-000000000000")
        await self.refused_delivery("\x1b[2J")
        listed = [each["place"] for each in await self.listed()]
        self.assertEqual(listed, [f"{number:08x}-0000-0000-0000-000000000000" for number in range(19, 14, -1)])

    async def refused_delivery(self, uuid: str) -> None:
        headers = {"X-Event-Key": "repo:push", "X-Hook-UUID": uuid, "Content-Type": "application/json"}
        self.assertEqual((await self.call("POST", "/bitbucket-webhook", b"{}", headers)).status, 401)

    async def test_it_is_said_until_one_is_accepted(self) -> None:
        self.hook().secret = HOOK_SECRET
        self.repository.push("main", {})
        await self.cloud.settled()
        self.assertEqual((await self.look())["webhooks"]["grade"], "warning")
        self.assertEqual(await self.listed(), [])

    async def test_what_is_advised_mends_it(self) -> None:
        await self.change("add")
        self.repository.push("main", {})
        await self.cloud.settled()
        self.assertEqual((await self.look())["webhook acme/site"]["grade"], "ok")


class OfNoUpdates(CheckTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(silence, "_PATIENCE", 0.0)
        self.other = cast(Any, reactor).listenTCP(0, Site(notFound()), interface="127.0.0.1")

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.other.stopListening()

    async def test_a_container_manager_that_tells_another_handler(self) -> None:
        right = self.container_manager.setting.handler_url
        self.container_manager.setting.handler_url = f"http://127.0.0.1:{self.other.getHost().port}"
        self.repository.open_pull_request(files={"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE started_at IS NOT NULL"))
        said = await self.wrong("updates")
        self.assertIn("1 build was started, and of it no update came → set the Container Manager's api.url to", said)
        self.assertRegex(await self.command("status"), r"(?m)^warning +updates +1 build was started, and of it no")
        self.assertIn("of it no update came", (await self.call("GET", "/")).body.decode())
        self.container_manager.setting.handler_url = right
        await self.built(self.repository.open_pull_request("Another", "another", {"b": b"1"}))
        self.assertEqual((await self.look())["updates"]["what"], "came of 1 of the newest 2 builds")


class WrongPublicUrl(CheckTestCase):
    settings: ClassVar[dict[str, Any]] = {"publicUrl": "http://127.0.0.1:9"}

    async def test_a_public_url_where_nobody_answers(self) -> None:
        said = await self.wrong("public URL")
        self.assertIn("could not be reached", said)


class WithACertificateOfOurOwn(CheckTestCase):
    async def prepare(self) -> None:
        self.keys = TemporaryDirectory()
        authority, key, certificate = write_certificates(Path(self.keys.name))
        endpoint = serverFromString(reactor, f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
        self.other = await endpoint.listen(Site(notFound()))
        port = cast(Any, self.other).getHost().port
        self.stage._given |= {"publicUrl": f"https://localhost:{port}", "caFile": str(authority)}

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.other.stopListening()
        self.keys.cleanup()

    async def test_an_authority_that_bitbucket_does_not_know_is_no_good(self) -> None:
        self.assertIn("→ TLS: install a certificate", await self.wrong("public URL"))


class OfAnotherServer(CheckTestCase):
    async def prepare(self) -> None:
        self.other = cast(Any, reactor).listenTCP(0, Site(notFound()), interface="127.0.0.1")
        self.stage._given["publicUrl"] = f"http://127.0.0.1:{self.other.getHost().port}"

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.other.stopListening()

    async def test_a_public_url_where_somebody_else_answers(self) -> None:
        self.assertIn("answers 404: it does not know the path", await self.wrong("public URL"))


class WithoutDaemon(CheckTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.stage.stop_handler()

    async def test_the_command_looks_itself_with_the_tokens_in_the_store(self) -> None:
        found = await self.look()
        self.assertEqual({each for each in found if found[each]["grade"] == "warning"}, {"daemon", "public URL"})
        self.assertEqual(found["webhook acme/site"]["grade"], "ok")
        self.assertEqual(self.cloud.credentials.granted["refresh_token"], 1)

    async def test_a_token_that_it_had_to_renew_is_kept_for_the_daemon(self) -> None:
        self.cloud.credentials.revoke_access_tokens()
        await self.look()
        self.stage.start_handler()
        await self.built(self.repository.open_pull_request(files={"a": b"1"}))
        self.assertEqual(self.cloud.credentials.granted["refresh_token"], 2)

    async def test_before_the_first_start_nothing_is_made_and_no_token_is_spent(self) -> None:
        for path in self.folder.glob("probo-bitbucket.db*"):
            path.unlink()
        found = await self.look()
        self.assertIn("is made when the daemon starts", found["store"]["what"])
        self.assertIn("not tried", found["credentials default"]["what"])
        self.assertEqual(list(self.folder.glob("probo-bitbucket.db*")), [])
        self.assertEqual(self.cloud.credentials.granted["refresh_token"], 1)

    async def test_before_the_first_start_missing_credentials_are_said(self) -> None:
        for path in self.folder.glob("probo-bitbucket.db*"):
            path.unlink()
        settings = self.folder / "settings.yaml"
        given = self.stage.written
        settings.write_text(json.dumps({key: given[key] for key in given.keys() - CREDENTIALS}))
        self.assertEqual(await self.wrong("credentials"), "there are none → open /setup, or put some into the settings")

    async def test_settings_that_are_wrong_are_said_line_by_line(self) -> None:
        (self.folder / "settings.yaml").write_text("prot: 3012\n")
        found = await self.document("check", status=1)
        self.assertIn("did you mean port?", found[0]["what"])
