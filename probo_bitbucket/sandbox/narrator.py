"""Tells what happens on the stage: every exchange between the three as one event for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

from attrs import frozen

from probo_bitbucket.sandbox.commits import Commit
from probo_bitbucket.sandbox.hooks import Attempt, Delivery
from probo_bitbucket.sandbox.outgoing import Call
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.server import Recorded
from probo_bitbucket.sandbox.stage import Stage
from probo_bitbucket.sandbox.statuses import BuildStatus


class Station(Enum):
    """How far a pull request can come, in this order."""

    OPENED = "the pull request was opened"
    DELIVERED = "the daemon accepted the webhook"
    READ = "the daemon read the configuration"
    STARTED = "the Container Manager started the build"
    AUTHORIZED = "the Container Manager got an access token"
    DOWNLOADED = "the Container Manager downloaded the source"
    REPORTED = "Bitbucket showed a status of a step"


@frozen
class Event:
    """Who did something or turned to whom, and what about. *station* is what a pull request has reached by it."""

    actors: str
    text: str
    station: Station | None = None
    status: BuildStatus | None = None  # what Bitbucket shows now


@frozen
class _Rule:
    """What a request means whose method and path match."""

    pattern: str
    actors: str
    text: str  # with the pattern's groups
    station: Station | None = None
    refusal_only: bool = False  # success is told of otherwise


# The first that matches decides. Pages are not told of.
_RULES = (
    _Rule(r"POST /site/oauth2/access_token", "daemon → Bitbucket", "asks for an access token"),
    _Rule(
        r"GET /2\.0/repositories/[^/]+/[^/]+/src/(?P<commit>\w{12})\w*/(?P<file>\.?pro[^/]+\.ya?ml)",
        "daemon → Bitbucket",
        "reads {file} at {commit}",
        Station.READ,
    ),
    _Rule(
        r"POST /2\.0/repositories/(?P<repository>[^/]+/[^/]+)/commit/(?P<commit>\w{12})\w*/statuses/build",
        "daemon → Bitbucket",
        "posts a status of {commit}",
        refusal_only=True,
    ),
    _Rule(r"GET /2\.0/repositories/[^/]+/[^/]+/commit/(?P<commit>\w{12})", "daemon → Bitbucket", "looks {commit} up"),
    _Rule(r"(?P<call>\w+ /2\.0/.*)", "daemon → Bitbucket", "{call}"),
    _Rule(
        r"GET /(?P<repository>[^/]+/[^/]+)/get/(?P<commit>\w{12})\w*\.tar\.gz",
        "Probo → Bitbucket",
        "downloads {repository} at {commit}",
        Station.DOWNLOADED,
    ),
    _Rule(r"POST /startbuild", "daemon → Probo", "POST /startbuild", Station.STARTED),
    _Rule(r"(?P<call>\w+ /(?:builds|containers).*)", "daemon → Probo", "{call}"),
)
_DEEDS = {
    "pullrequest:created": ("opens", Station.OPENED),
    "pullrequest:push": ("pushes to", None),
    "pullrequest:fulfilled": ("merges", None),
    "pullrequest:rejected": ("declines", None),
}


class Narrator:
    """Listens to the simulators of *stage* and gives every event to *tell*."""

    def __init__(self, stage: Stage, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        stage.cloud.on_event = self._happened
        stage.cloud.deliveries.on_attempt = self._delivered
        stage.cloud.server.on_answer = self._answered
        stage.container_manager.server.on_answer = self._answered
        stage.container_manager.on_call = self._called

    def _happened(self, event: str, subjects: Mapping[str, object]) -> None:
        match list(subjects.values()):
            case [PullRequest() as pull_request, *_] if event in _DEEDS:
                self._pull_request_changed(pull_request, *_DEEDS[event])
            case [(Commit(), BuildStatus() as status)]:
                self._status_shown(status)

    def _pull_request_changed(self, pull_request: PullRequest, does: str, station: Station | None) -> None:
        text = f'{does} pull request #{pull_request.number} "{pull_request.title}"'
        self._tell(Event(pull_request.author.display_name, text, station))

    def _status_shown(self, status: BuildStatus) -> None:
        of_step = not status.name.endswith("/env")
        text = f"{status.state:<10}  {status.name}  {status.description}"
        self._tell(Event("Bitbucket shows", text, Station.REPORTED if of_step else None, status))

    def _delivered(self, delivery: Delivery, attempt: Attempt) -> None:
        if delivery.event == "repo:commit_status_created" and _succeeded(attempt.status):
            return  # that Bitbucket shows the status is told already
        again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        answer = _answer(attempt.status, attempt.answer.decode("utf-8", "replace"))
        station = Station.DELIVERED if _succeeded(attempt.status) else None
        self._tell(Event("Bitbucket → daemon", f"{delivery.event}{again}: {answer}", station))

    def _answered(self, recorded: Recorded) -> None:
        request = f"{recorded.method} {recorded.path}"
        for rule in _RULES:
            if found := re.fullmatch(rule.pattern, request):
                self._exchanged(rule, rule.text.format(**found.groupdict()), recorded.status)
                return

    def _exchanged(self, rule: _Rule, text: str, status: int | None) -> None:
        succeeded = _succeeded(status)
        if not (succeeded and rule.refusal_only):
            self._tell(Event(rule.actors, f"{text}: {_answer(status)}", rule.station if succeeded else None))

    def _called(self, call: Call) -> None:
        if "/auth_lookup?" in call.url:
            station = Station.AUTHORIZED if call.accepted else None
            self._tell(Event("Probo → daemon", f"GET /auth_lookup: {_answer(call.status, call.failure)}", station))
        elif call.method == "POST" and not call.accepted:
            self._tell(Event("Probo → daemon", f"{call.method} {call.url}: {_answer(call.status, call.failure)}"))


def _succeeded(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _answer(status: int | None, text: str = "") -> str:
    return " ".join(part for part in ("no answer" if status is None else str(status), text) if part)
