"""One run of one build in the simulated Container Manager: its statuses, in the order measured on the real one.

A status without a task is waited for; all others leave without waiting and may overtake each other.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from probo_bitbucket.sandbox.build_plan import ENV, Plan, Task, exit_code
from probo_bitbucket.sandbox.containers import Containers, InUse
from probo_bitbucket.sandbox.outgoing import Call, Caller

Variant = Literal["v4.5.3", "sprint7"]

IMAGES = frozenset({"proboci/ubuntu-14.04-lamp", "proboci/ubuntu-16.04-lamp", "proboci/ubuntu-18.04-lamp"})
TASK_TIME = 0.04  # seconds that a task took in the recorded runs
OVERTAKING = 0.1  # seconds by which a call may be late if calls shall overtake each other
GZIP = b"\x1f\x8b"  # what tar wants to see first
_UNAPPROVED = (
    "Use an approved Probo Image in your .probo.yaml file. "
    "See https://docs.probo.ci/build/images/ for approved Probo Images."
)


class Fatal(Exception):
    """An answer of the daemon at which Node stumbles: v4.5.3 hangs, sprint 7's process ends."""


class _SetupFailed(Exception):
    """What follows "Environment build failed"."""


@define(eq=False)
class Setting:
    """What a Container Manager is told by its cm.yaml, and how it shall play. May be changed meanwhile."""

    handler_url: str
    auth_url: str
    archive_url: str  # the Bitbucket site
    instance_name: str = "ProboCI"
    build_url: str | None = "http://{{buildId}}.example.com:3050/"
    variant: Variant = "v4.5.3"
    images: frozenset[str] = IMAGES
    step_time: float = 0.0  # seconds a task takes; 0: as fast as the daemon answers
    outcome: Callable[[Task], int] = exit_code  # exit code of a step
    overtake: random.Random | None = None  # delays calls that are not waited for

    def target_url(self, build_id: object) -> str | None:
        if self.build_url is None or self.variant == "sprint7":
            return None
        return self.build_url.replace("{{buildId}}", str(build_id), 1)


@frozen(eq=False)
class BuildRun:
    """A run of *document*, which is kept up to date and put into *builds* as the real one does with its database."""

    setting: Setting
    clock: IReactorTime
    caller: Caller
    containers: Containers
    builds: dict[str, dict[str, Any]]
    document: dict[str, Any]
    plan: Plan
    now: Callable[[], str]  # the time as documents have it
    on_status: Callable[[Call, dict[str, Any]], None]  # called with every status and its update, once it is answered
    _outstanding: set[Deferred[None]] = field(factory=set, init=False)

    async def go(self) -> None:
        """Run until nothing is left to be said. Raises Fatal."""
        await self._env("running", "[▶] The hamsters are working hard on your setup")
        try:
            greeting = self._enter_container()
        except (InUse, _SetupFailed) as error:
            await self._env("error", f"[■] {error}")
            return  # the build stays `active` for ever
        await self._env("success", f"[▶] {greeting}")
        try:
            await self._set_up()
        except _SetupFailed as error:
            self.document["status"] = "error"
            await self._env("error", f"[■] Environment build failed: {error}")
        else:
            await self._env("success", "[■] Environment ready")
            await self._take_steps()
        self._leave_container()
        await DeferredList(list(self._outstanding))

    def cancel(self) -> None:
        """Give up the calls that nobody waits for."""
        for call in list(self._outstanding):
            call.cancel()

    def _enter_container(self) -> str:
        if self.setting.variant == "v4.5.3" and "branch" not in self.document:
            raise _SetupFailed("Cannot read property 'name' of undefined")
        if self.plan.image is not None and self.plan.image not in self.setting.images:
            raise _SetupFailed(_UNAPPROVED)
        container = self.containers.start(self.plan.container_name)
        if container.reused:
            return "Reusing existing environment"
        self.document["container"] = {"id": container.id, "name": container.name}
        return "Environment built"

    def _leave_container(self) -> None:
        name = self.plan.container_name
        self.containers.stop(name)
        self.document["container"] = {**self.document.get("container", {"id": name, "name": name}), "state": "stopped"}
        self.document["active"] = False
        self.document["diskSpace"] = {"realBytes": 4096, "virtualBytes": 1073745920}
        self._save()

    async def _set_up(self) -> None:
        download = self.plan.download
        token = await self._access_token() if self.plan.archive else ""
        await self._task_begins(download, lasts=False)
        code = 0 if not self.plan.archive or await self._has_archive(token) else 1
        self._task_ends(download, code, "▶")
        if code:
            raise _SetupFailed(f"Setup task {download.name} failed with exit code {code}")
        for assets in self.plan.assets:
            await self._task_begins(assets)
            self._task_ends(assets, 0, "▶")

    async def _access_token(self) -> str:
        """Ask the daemon. Nothing but `access_token` is looked at; "undefined" is taken for a token as well."""
        token = self.plan.refresh_token
        query = "?type=bitbucket" + (f"&refreshToken={escape(token)}" if token is not None else "")
        call = await self.caller.call("GET", self.setting.auth_url + query, {"Accept": "application/json"})
        if call.failure:
            raise _SetupFailed(call.failure)
        if not call.answer.strip() or call.answer.strip() == b"null":
            raise Fatal(f"/auth_lookup was answered {call.status} with {call.answer!r}")
        try:
            answer = json.loads(call.answer)
        except ValueError:
            return "undefined"
        return str(answer.get("access_token", "undefined")) if isinstance(answer, dict) else "undefined"

    async def _has_archive(self, token: str) -> bool:
        url = f"{self.setting.archive_url}/{self.plan.archive}"
        archive = await self.caller.call("GET", url, {"Authorization": f"Bearer {token}"}, redirects=True)
        return archive.status == 200 and archive.answer.startswith(GZIP)

    async def _take_steps(self) -> None:
        for step in self.plan.steps:
            self._send("pending", "⌛", step)
        for step in self.plan.steps:
            await self._task_begins(step)
            self._task_ends(step, self.setting.outcome(step), "■")

    async def _task_begins(self, task: Task, *, lasts: bool = True) -> None:
        sent = self._send("running", "▶", task)
        if not lasts:
            return
        if self.setting.step_time:
            await deferLater(self.clock, self.setting.step_time)
        elif self.setting.overtake is None:
            await _settled(sent, TASK_TIME, self.clock)

    def _task_ends(self, task: Task, code: int, icon: str) -> None:
        milliseconds = round(1000 * (self.setting.step_time or TASK_TIME))
        task.result |= {"code": code, "time": milliseconds}
        self._send("error" if code else "success", icon, task)

    def _send(self, state: str, icon: str, task: Task) -> Deferred[None]:
        """Report a task without waiting for the answer."""
        update = {"state": state, "description": f"[{icon}] {task.description}", "task": task.document}
        sent = Deferred.fromCoroutine(self._send_update(update, task))
        self._outstanding.add(sent)
        sent.addErrback(_given_up).addBoth(lambda _: self._outstanding.discard(sent))
        return sent

    async def _send_update(self, update: dict[str, Any], task: Task) -> None:
        headers, url, body = self._status_call(update, task.context)
        if self.setting.overtake is not None:
            await deferLater(self.clock, OVERTAKING * self.setting.overtake.random())
        call = await self.caller.call("POST", url, headers, body)
        self.on_status(call, update)
        if call.accepted:
            self._remember_step(update, task)

    async def _env(self, state: str, description: str) -> None:
        """Report on the environment and wait for the answer, however long it takes. Raises Fatal."""
        update = {"state": state, "description": description}
        headers, url, body = self._status_call(update, ENV)
        call = await self.caller.call("POST", url, headers, body)
        self.on_status(call, update)
        if call.accepted:
            self.document.setdefault("status", "running")
            self._save()
        if call.answer.strip() == b"null" and self.setting.variant == "v4.5.3":
            raise Fatal(f"the status {description!r} was answered with null")

    def _status_call(self, update: dict[str, Any], context: str) -> tuple[Mapping[str, str], str, bytes]:
        update["context"] = f"{self.setting.instance_name}/{context}"
        target_url = self.setting.target_url(self.document["id"])
        if target_url is not None:
            update["target_url"] = target_url
        url = f"{self.setting.handler_url}/builds/{self.document['id']}/status/{escape(update['context'])}"
        headers = {"Authorization": "Bearer undefined", "Content-Type": "application/json"}
        return headers, url, json.dumps({"update": update, "build": self.document}, ensure_ascii=False).encode()

    def _remember_step(self, update: Mapping[str, Any], task: Task) -> None:
        """Keep what the daemon has accepted; what it refused is missing from the build."""
        steps = self.document.setdefault("steps", [])
        known = next((step for step in steps if step["id"] == task.id), None)
        if known is None:
            steps.append(known := {"id": task.id, "name": task.name, "plugin": task.plugin, "result": task.result})
        known |= {"state": update["state"], "description": update["description"]}
        self._save()

    def _save(self) -> None:
        if "status" in self.document or "steps" in self.document:
            self._judge()
        self.document["updatedAt"] = self.now()
        self.builds[str(self.document["id"])] = self.document

    def _judge(self) -> None:
        """A step that failed fails the build; without one it is a success once it has ended."""
        states = {step["state"] for step in self.document.get("steps", [])}
        if "error" in states:
            self.document["status"] = "error"
        elif not self.document["active"] and self.document.get("status") == "running":
            self.document["status"] = "success"


def escape(text: str) -> str:
    """Percent-encode *text* as Node's `querystring.escape` does."""
    return quote(text, safe="!~*()")


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)


async def _settled(call: Deferred[None], at_most: float, clock: IReactorTime) -> None:
    """Wait until *call* is through, but not longer than *at_most* seconds."""
    settled: Deferred[None] = Deferred()
    call.addCallback(lambda _: None if settled.called else settled.callback(None))
    settled.addTimeout(at_most, clock, onTimeoutCancel=lambda _, __: None)
    await settled
