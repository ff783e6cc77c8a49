"""The verdict: what was promised is compared with what the two upstreams saw, after everything has settled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import Factory, define, frozen

from probo_bitbucket.sandbox.bitbucket import BitbucketCloud
from probo_bitbucket.sandbox.container_manager import ContainerManager
from probo_bitbucket.sandbox.hooks import Delivery

_SETUP = ("BitbucketDownloader", "AssetDownloader")
_SHORT_HASH = 12


@frozen
class Wanted:
    """What may be built once: a commit of a pull request."""

    repository: str
    number: int
    commit: str  # 12 digits

    @property
    def pull_request(self) -> tuple[str, int]:
        return self.repository, self.number


@define
class Verdict:
    """Counts for people, and every broken promise in words."""

    counts: dict[str, int] = Factory(dict)
    broken: list[str] = Factory(list)

    def lines(self) -> Iterator[str]:
        yield from (f"{count:7}  {what}" for what, count in self.counts.items())
        yield from (f"BROKEN   {promise}" for promise in self.broken)
        yield f"{len(self.broken)} promises broken"


def judge(cloud: BitbucketCloud, container_manager: ContainerManager, verdict: Verdict) -> None:
    """Add to *verdict* what is to be said of deliveries, builds and statuses."""
    _judge_builds(cloud, container_manager, verdict)
    _judge_environments(cloud, container_manager, verdict)
    _judge_statuses(cloud, container_manager, verdict)
    verdict.broken += [f"the Container Manager died: {container_manager.died}"] if container_manager.died else []
    verdict.broken += [f"the Container Manager hangs: {why}" for why in container_manager.stuck]


def _judge_builds(cloud: BitbucketCloud, container_manager: ContainerManager, verdict: Verdict) -> None:
    deliveries = cloud.deliveries.journal
    closed = _closed(deliveries)
    ended = {_wanted(delivery).pull_request for delivery in filter(_is_end, deliveries)}  # perhaps without an answer
    accepted = [news for news in _last_accepted(deliveries) if news[0].pull_request not in ended]
    announced = {_wanted(delivery) for delivery in deliveries}
    started: Counter[Wanted] = Counter()
    for build_id, times in container_manager.started.items():
        started[_built(container_manager.builds[build_id])] += times
    verdict.counts |= {
        "deliveries sent": len(deliveries),
        "deliveries accepted (200)": sum(map(_accepted, deliveries)),
        "attempts to deliver": sum(len(delivery.attempts) for delivery in deliveries),
        "commits announced": len(announced),
        "open pull requests accepted": len(accepted),
        "closed pull requests accepted": len(closed),
        "builds started": started.total(),
    }
    verdict.broken += [] if accepted and started else ["nothing was accepted and built: nothing was put to the test"]
    verdict.broken += [f"accepted and never built: {news[0]}" for news in accepted if not any(map(started.get, news))]
    verdict.broken += [f"built {times} times: {wanted}" for wanted, times in started.items() if times > 1]
    verdict.broken += [f"built and never announced: {wanted}" for wanted in started.keys() - announced]


def _last_accepted(deliveries: Iterable[Delivery]) -> list[list[Wanted]]:
    """The last commit that was accepted of each pull request: those before it are worth no build any more.

    After it stand those that were told of later. A daemon that was killed before its 200 arrived may know them, and
    have built one of them in the place of the accepted one.
    """
    told: dict[tuple[str, int], list[Wanted]] = {}
    for delivery in sorted(deliveries, key=lambda delivery: json.loads(delivery.body)["pullrequest"]["updated_on"]):
        wanted = _wanted(delivery)
        if _accepted(delivery):
            told[wanted.pull_request] = [wanted]
        elif wanted.pull_request in told:
            told[wanted.pull_request].append(wanted)
    return list(told.values())


def _closed(deliveries: Iterable[Delivery]) -> set[tuple[str, int]]:
    """The pull requests whose end was accepted."""
    return {_wanted(delivery).pull_request for delivery in filter(_is_end, deliveries) if _accepted(delivery)}


def _is_end(delivery: Delivery) -> bool:
    return delivery.event in ("pullrequest:fulfilled", "pullrequest:rejected")


def _judge_environments(cloud: BitbucketCloud, container_manager: ContainerManager, verdict: Verdict) -> None:
    """Of a closed pull request no environment is there, of others none that is older than the newest ready one.

    That of the last commit is there: nothing superseded it.
    """
    closed = _closed(cloud.deliveries.journal)
    ended = {_wanted(delivery).pull_request for delivery in filter(_is_end, cloud.deliveries.journal)}
    wanted = [news for news in _last_accepted(cloud.deliveries.journal) if news[0].pull_request not in ended]
    last = {news[0] for news in wanted if len(news) == 1}
    last_words = _last_words(container_manager)
    standing: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for build in sorted(container_manager.builds.values(), key=lambda build: build["createdAt"], reverse=True):
        if build.get("reaped"):
            verdict.broken += [f"taken down: {_built(build)}, though none is newer"] if _built(build) in last else []
        else:
            standing.setdefault(_built(build).pull_request, []).append(build)
    for pull_request, builds in standing.items():
        if pull_request in closed:
            verdict.broken += [f"still there, though it is closed: {_built(build)}" for build in builds]
            continue
        ready = next((place for place, build in enumerate(builds) if last_words.get(build["id"]) == "success"), None)
        older = [] if ready is None else builds[ready + 1 :]
        verdict.broken += [f"still there: {_built(build)}, though a newer one is ready" for build in older]
    verdict.counts["environments that stay"] = sum(map(len, standing.values()))


def _accepted(delivery: Delivery) -> bool:
    return any(attempt.status == 200 for attempt in delivery.attempts)


def _wanted(delivery: Delivery) -> Wanted:
    body = json.loads(delivery.body)
    commit = body["pullrequest"]["source"]["commit"]["hash"][:_SHORT_HASH]
    return Wanted(body["repository"]["full_name"], body["pullrequest"]["id"], commit)


def _built(build: Mapping[str, Any]) -> Wanted:
    number, commit = int(build["pullRequest"]["number"]), build["commit"]["ref"][:_SHORT_HASH]
    return Wanted(build["project"]["slug"], number, commit)


def _judge_statuses(cloud: BitbucketCloud, container_manager: ContainerManager, verdict: Verdict) -> None:
    last_words = _last_words(container_manager)
    shown = 0
    for build_id, build in container_manager.builds.items():
        states = _shown(cloud, build["commit"]["ref"])
        shown += len(states)
        expected = _expected(build, last_words.get(build_id, ""), container_manager.setting.instance_name)
        for context, state in expected.items():
            if states.get(context) != state and not build.get("reaped"):  # what was taken down shows nothing new
                verdict.broken.append(f"{context} of {_built(build)} shows {states.get(context)}, not {state}")
        for context, state in states.items():
            if state == "INPROGRESS":
                verdict.broken.append(f"{context} of {_built(build)} is in progress for ever")
    calls = [call for call in container_manager.calls if call.method == "POST"]
    verdict.counts |= {
        "status updates sent": len(calls),
        "status updates accepted": sum(call.accepted for call in calls),
        "builds whose end was not accepted": sum(not last_words.get(id, "") for id in container_manager.builds),
        "statuses shown": shown,
        "requests for them": sum(request.path.endswith("/statuses/build") for request in cloud.requests),
    }


def _shown(cloud: BitbucketCloud, commit: str) -> dict[str, str]:
    """What Bitbucket shows of *commit*, which is in one repository only: a fork's are not in its parent."""
    [repository] = [repository for repository in cloud.repositories.values() if commit in repository.commits]
    return {status.name: str(status.state) for status in repository.shown_statuses(commit)}


def _last_words(container_manager: ContainerManager) -> dict[str, str]:
    """How the set-up of each build ended, by what was accepted of it: these calls are made one after the other."""
    words = {}
    for call in container_manager.calls:
        if call.method == "POST" and call.accepted:
            update = call.document["update"]
            if "task" not in update and update["description"].startswith("[■]"):
                words[call.document["build"]["id"]] = update["state"]
    return words


def _expected(build: Mapping[str, Any], last_words: str, instance: str) -> dict[str, str]:
    """What Bitbucket has to show of *build*: what `GET /builds/{id}` tells of it, and what else was accepted."""
    steps = [step for step in build.get("steps", []) if step["plugin"] not in _SETUP]
    expected = {f"{instance}/{step['plugin']}/{step['name']}": _state(step["result"]["code"] == 0) for step in steps}
    if last_words:
        expected[f"{instance}/env"] = _state(last_words == "success")
    elif steps:
        expected[f"{instance}/env"] = _state(True)
    elif build.get("status") == "error":
        expected[f"{instance}/env"] = _state(False)
    return expected


def _state(succeeded: bool) -> str:
    return "SUCCESSFUL" if succeeded else "FAILED"
