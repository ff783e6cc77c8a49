"""Metrics: what happened since the start, counted from the log's events and from the calls to upstreams.

Every label has few values, whatever comes in from outside.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from probo_bitbucket import __version__
from probo_bitbucket.log_events import EVENTS
from probo_bitbucket.model import DeliveryState

disable_created_metrics()  # when each series began: twice as many lines, which no one asks for

NAMESPACE = "probo_bitbucket"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Of a status of Bitbucket 50 ms to 1 s are usual; a call is given up after 30 s.
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_NAMES = frozenset(event.name for event in EVENTS)

_POSTPONED = {
    "delivery.postponed": "deliveries",
    "build.postponed": "builds",
    "status.postponed": "statuses",
    "comment.postponed": "comments",
    "command.postponed": "commands",
    "forward.postponed": "updates",
    "build.removal_postponed": "removals",
    "closing.postponed": "closings",
    "credentials.hand_on_postponed": "hand_ons",
}

# How a delivery ends; `delivery.decided` says itself what it led to.
_ENDS = {"delivery.ignored": DeliveryState.IGNORED, "delivery.failed": DeliveryState.FAILED}

OTHER = "other"

# What a call is about, by the end of its URL's path. The first that fits counts.
KINDS = (
    ("token", r"/site/oauth2/access_token"),
    ("status", r"/commit/[^/]+/statuses/build(/.*)?"),
    ("commit", r"/commit/[^/]+"),
    ("commits", r"/commits"),
    ("file", r"/src/[^/]+/.+"),
    ("folder", r"/src/[^/]+/"),
    ("branches", r"/refs/branches(/.*)?"),
    ("comment", r"/pullrequests/\d+/comments(/\d+)?"),
    ("pull_request", r"/pullrequests(/\d+)?|/pull-request/[^/]+/[^/]+/\d+"),
    ("permission", r"/permissions/repositories/[^/]+"),
    ("hook", r"/hooks(/[^/]+)?"),
    ("repository", r"/repositories/[^/]+(/[^/]+)?"),
    ("user", r"/user"),
    ("startbuild", r"/startbuild"),
    ("forward", r"/builds/[^/]+/status/[^/]+|/update"),
    ("auth_lookup", r"/auth_lookup"),
    ("build", r"/builds/[^/]+"),
    ("builds", r"/builds"),
    ("pr_closed", r"/pr-closed"),
    ("hand_on", r"/projects/tokens"),
    ("project", r"/projects"),
)
_REPOSITORY = re.compile(r".*/repositories/[^/]+/[^/]+(?=/)")


def kind_of(url: str) -> str:
    """What a call to *url* is about; `other` where that is not known."""
    path = _REPOSITORY.sub("", url.partition("?")[0])
    return next((kind for kind, ending in KINDS if re.search(f"(?:{ending})$", path)), OTHER)


@implementer(ILogObserver)
class Metrics:
    """The metrics of one handler, in a registry of their own. An observer of the log, whose events it counts.

    Deliveries are told apart by *event_keys*; all others are `other`.
    """

    def __init__(self, event_keys: Collection[str]) -> None:
        self._event_keys = frozenset(event_keys)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.info = self._make(Gauge, "info", "The version that runs; always 1.", "version")
        self.info.labels(__version__).set(1)
        self._make_counters()
        self._make_gauges()

    def _make_counters(self) -> None:
        make = self._make
        self.events = make(Counter, "log_events", "Events in the log, also those below `log_level`.", "event")
        for name in _NAMES:
            self.events.labels(name)  # at 0: to Prometheus a series that begins with 1 has not increased
        self.deliveries = make(Counter, "deliveries", "Deliveries, and what they led to.", "event", "outcome")
        self.builds = make(Counter, "builds", "Builds, and what became of them.", "outcome")
        self.statuses = make(Counter, "statuses", "Statuses, and what became of them.", "state", "outcome")
        self.retries = make(Counter, "retries", "Work that was put back, to be tried again later.", "work")
        self.requests = make(
            Counter, "upstream_requests", "Requests to upstreams, by the class of the answer.", "kind", "outcome"
        )
        self.seconds = make(
            Histogram, "upstream_seconds", "Seconds that requests to upstreams took.", "kind", buckets=_BUCKETS
        )

    def _make_gauges(self) -> None:
        """What is read when somebody asks."""
        make = self._make
        self.waiting = make(Gauge, "waiting", "Work that waits to be done.", "work")
        self.oldest = make(Gauge, "oldest_waiting_seconds", "How long the oldest work of the kind waits.", "work")
        self.budget = make(
            Gauge, "budget_left", "Requests that Bitbucket still takes in this hour, by OAuth consumer.", "consumer"
        )
        self.token_age = make(Gauge, "token_age_seconds", "Time since the token was renewed that is oldest.")
        self.dead = make(Gauge, "credentials_dead", "Accounts whose credentials Bitbucket refuses.")
        self.down = make(Gauge, "upstream_down", "Whether an upstream is down and spared.", "upstream")
        self.store_up = make(Gauge, "store_up", "Whether the database can be read and written.")

    def _make(self, kind: Any, name: str, help: str, *labels: str, **options: Any) -> Any:
        return kind(name, help, labels, namespace=NAMESPACE, registry=self.registry, **options)

    def __call__(self, event: LogEvent) -> None:
        """Count an event of the log. Its name says what it is about and what became of that."""
        name = event.get("event")
        if name not in _NAMES:
            return
        self.events.labels(name).inc()
        subject, _, outcome = name.partition(".")
        if name == "delivery.decided" or name in _ENDS:
            key = event.get("event_key")
            self.deliveries.labels(key if key in self._event_keys else OTHER, _ENDS.get(name) or event["state"]).inc()
        elif subject == "build":
            self.builds.labels(outcome).inc()
        elif subject == "status":
            self.statuses.labels(event.get("state", ""), outcome).inc()
        if name in _POSTPONED:
            self.retries.labels(_POSTPONED[name]).inc()

    def called(self, url: str, status: int, seconds: float) -> None:
        """Count a call to *url* that took so many *seconds*. Its HTTP *status* is 0 where there was no answer."""
        kind = kind_of(url)
        self.requests.labels(kind, _outcome(status)).inc()
        self.seconds.labels(kind).observe(seconds)

    def text(self) -> bytes:
        """All metrics, in the text format of Prometheus."""
        return generate_latest(self.registry)


def _outcome(status: int) -> str:
    if status in (0, 429):
        return {0: "no_answer", 429: "429"}[status]
    return f"{status // 100}xx"
