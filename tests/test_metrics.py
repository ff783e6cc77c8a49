"""The metrics tell what happened and how things are, with few values to each label."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import fail
from twisted.logger import Logger, LogPublisher

from probo_bitbucket import breaker
from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.log_events import EVENTS
from probo_bitbucket.metrics import Metrics, kind_of
from probo_bitbucket.sandbox.faults import Answer, Cut, Fault
from probo_bitbucket.store import StoreUnavailable
from tests.staged import StageTestCase

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"probo_bitbucket_{name}", frozenset(labels.items())))


class Scraped(StageTestCase):
    async def scrape(self) -> Samples:
        answered = await self.call("GET", "/metrics")
        self.assertEqual(answered.status, 200)
        self.assertEqual(answered.headers.getRawHeaders("content-type"), ["text/plain; version=0.0.4; charset=utf-8"])
        return samples_of(answered.body.decode())

    async def test_a_pull_request_is_counted_from_its_delivery_to_its_statuses(self) -> None:
        await self.built(self.repository.open_pull_request())
        found = await self.scrape()
        self.assertEqual(of(found, "deliveries_total", event="pullrequest:created", outcome="accepted"), 1)
        self.assertEqual(of(found, "builds_total", outcome="wanted"), 1)
        self.assertEqual(of(found, "builds_total", outcome="started"), 1)
        self.assertGreaterEqual(of(found, "statuses_total", state="SUCCESSFUL", outcome="reported") or 0, 3)
        for kind in ("token", "file", "commit", "startbuild"):
            self.assertEqual(of(found, "upstream_requests_total", kind=kind, outcome="2xx"), 1, kind)
            self.assertEqual(of(found, "upstream_seconds_count", kind=kind), 1, kind)
        self.assertIsNone(of(found, "upstream_requests_total", kind="other", outcome="2xx"))

    async def test_a_delivery_counts_as_what_is_shown_of_it_and_once_for_each_time_that_it_is_decided(self) -> None:
        pull_request = self.repository.open_pull_request(title="[skip ci] Not yet")
        await self.decided(1)
        pull_request.merge()
        await self.decided(2)
        self.assertEqual((await self.call("POST", "/api/deliveries/1/send-again")).status, 202)
        await self.until(lambda: self.measured("deliveries", event="pullrequest:created", outcome="ignored") == 2)
        found = await self.scrape()
        counted = {
            labels: value for (name, labels), value in found.items() if name == "probo_bitbucket_deliveries_total"
        }
        self.assertEqual(
            counted,
            {
                frozenset({("event", "pullrequest:created"), ("outcome", "ignored")}): 2,
                frozenset({("event", "pullrequest:fulfilled"), ("outcome", "accepted")}): 1,
            },
        )

    async def test_nothing_tells_when_a_series_began(self) -> None:
        await self.built(self.repository.open_pull_request())
        self.assertEqual([name for name, _ in await self.scrape() if name.endswith("_created")], [])

    async def test_nothing_waits_when_all_is_done(self) -> None:
        await self.built(self.repository.open_pull_request())
        found = await self.scrape()
        for work in ("deliveries", "builds", "statuses"):
            self.assertEqual(of(found, "waiting", work=work), 0)
            self.assertEqual(of(found, "oldest_waiting_seconds", work=work), 0)
        self.assertEqual(of(found, "store_up"), 1)
        self.assertEqual(of(found, "credentials_dead"), 0)
        self.assertLess(of(found, "token_age_seconds") or 99, 60)
        self.assertLess(of(found, "budget_left", consumer="sandbox-consumer") or 1000, 1000)

    async def test_what_waits_for_bitbucket_is_counted_with_its_tries(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        self.repository.open_pull_request()
        await self.until(lambda: (self.measured("retries", work="builds") or 0) >= 2)
        found = await self.scrape()
        self.assertEqual(of(found, "waiting", work="builds"), 1)
        self.assertGreater(of(found, "oldest_waiting_seconds", work="builds") or 0, 0)
        self.assertGreaterEqual(of(found, "upstream_requests_total", kind="file", outcome="5xx") or 0, 2)

    async def test_dead_credentials_are_counted(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.repository.open_pull_request()
        await self.until(lambda: self.measured("log_events", event="credentials.dead"))
        self.assertEqual(of(await self.scrape(), "credentials_dead"), 1)

    async def test_a_database_that_is_away_is_told_and_nothing_else_is_missing(self) -> None:
        await self.deliver("pullrequest:approved", b"{}")
        self.assertEqual(of(await self.scrape(), "store_up"), 1)
        self.patch(self.handler._foundation.store, "transact", lambda *_, **__: fail(StoreUnavailable("full")))
        found = await self.scrape()
        self.assertEqual(of(found, "store_up"), 0)
        self.assertEqual(of(found, "deliveries_total", event="pullrequest:approved", outcome="ignored"), 1)
        self.assertIsNotNone(of(found, "budget_left", consumer="sandbox-consumer"))

    async def test_an_upstream_that_is_down_is_told(self) -> None:
        _, *rest = breaker.Breaker.__init__.__defaults__ or ()
        self.patch(breaker.Breaker.__init__, "__defaults__", (1, *rest))
        await self.stage.stop_handler()
        self.stage.start_handler()
        self.container_manager.faults.add(Fault(Cut()))
        self.repository.open_pull_request()
        await self.until(lambda: self.measured("retries", work="builds"))
        found = await self.scrape()
        self.assertEqual(of(found, "upstream_down", upstream="the Container Manager"), 1)
        self.assertEqual(of(found, "upstream_down", upstream="Bitbucket"), 0)
        self.assertGreaterEqual(of(found, "upstream_requests_total", kind="startbuild", outcome="no_answer") or 0, 1)

    async def test_a_new_handler_counts_from_zero(self) -> None:
        await self.deliver("pullrequest:approved", b"{}")
        await self.stage.stop_handler()
        self.stage.start_handler()
        self.assertIsNone(self.measured("deliveries", event="pullrequest:approved", outcome="ignored"))


def counted(**event: object) -> Samples:
    metrics = Metrics(payloads.EVENT_KEYS)
    Logger("test", observer=LogPublisher(metrics)).info("x", **event)
    return samples_of(metrics.text().decode())


def test_an_event_key_from_outside_makes_no_label() -> None:
    found = counted(event="delivery.ignored", event_key="pullrequest:x" * 5)
    assert of(found, "deliveries_total", event="other", outcome="ignored") == 1


def test_every_listed_event_is_there_from_the_start_so_that_its_first_time_is_an_increase() -> None:
    found = samples_of(Metrics(()).text().decode())
    assert [event.name for event in EVENTS if of(found, "log_events_total", event=event.name) != 0] == []


def test_an_event_without_a_listed_name_is_not_counted() -> None:
    assert of(counted(event="build.somehow"), "log_events_total", event="build.somehow") is None
    assert of(counted(event="build.started"), "log_events_total", event="build.started") == 1


def test_calls_are_told_apart_by_what_they_are_about_whatever_the_repository_is_called() -> None:
    api = "https://api.bitbucket.org/2.0/repositories/projects/commits"
    assert [
        kind_of(url)
        for url in (
            f"{api}/commit/0123abc",
            f"{api}/commit/0123abc/statuses/build",
            f"{api}/src/0123abc/.probo.yaml",
            f"{api}/src/0123abc/?pagelen=100",
            f"{api}/commits?include=main",
            f"{api}/pullrequests/7",
            "https://bitbucket.org/site/oauth2/access_token",
            "http://localhost:3020/startbuild",
            "http://localhost:3020/cm/builds/f00",
            "http://localhost:3020/projects?slug=acme/site",
            "http://localhost:3020/somewhere",
        )
    ] == [
        "commit", "status", "file", "folder", "commits", "pull_request",
        "token", "startbuild", "build", "project", "other",
    ]  # fmt: skip
