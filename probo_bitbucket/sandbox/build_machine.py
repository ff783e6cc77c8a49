"""The simulated Container Manager without its routes: its builds, their runs, and how it comes to grief."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from probo_bitbucket.sandbox.build_plan import Nothing, Plan, read_plan
from probo_bitbucket.sandbox.build_run import BuildRun, Fatal, Setting
from probo_bitbucket.sandbox.containers import Container, Containers
from probo_bitbucket.sandbox.outgoing import Call, Caller
from probo_bitbucket.sandbox.probo_routes import Refused


class BuildMachine:
    """What the Container Manager knows; all of it outlives `close` and another `open`.

    *on_event* is told what happens, as the id of a build and a line for people.
    """

    def __init__(
        self, clock: IReactorTime, setting: Setting, on_event: Callable[[str, str], None] | None = None
    ) -> None:
        self.setting = setting
        self.builds: dict[str, dict[str, Any]] = {}
        self.containers = Containers()
        self.calls: list[Call] = []  # what it called, in this order
        self.updates: dict[str, list[dict[str, Any]]] = {}  # what it reported of each build, in order of the answers
        self.on_call: Callable[[Call], None] = lambda _: None  # told of every call that has ended
        self.started: Counter[str] = Counter()  # how often each build was started
        self.died = ""  # why its process has ended
        self.stuck: list[str] = []  # what waits for ever, and why
        self._clock = clock
        self._tell = on_event or (lambda *_: None)
        self._caller: Caller | None = None  # while it is open
        self._runs: dict[BuildRun, Deferred[None]] = {}
        self._fatal: dict[str, Fatal] = {}
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._flakes = count()

    def open(self, reactor: Any) -> None:
        self._caller = Caller(reactor, self._clock, self.calls, self._call_ended)

    async def close(self) -> None:
        """Break off every run; when it is done, nothing is left in the reactor."""
        for run in list(self._runs):
            self._break_off(run)
        if self._caller is not None:
            await self._caller.stop()

    def start(self, build: Mapping[str, Any], project: Any) -> dict[str, Any]:
        """Start a build; return the answer. Raises NodeError, and then keeps the build all the same."""
        document = {**build, "project": project, "active": True, "updatedAt": self._now()}
        if project is Nothing.UNDEFINED:
            del document["project"]
        document["id"] = document.get("id") or str(uuid4())
        return self._launch(document)

    def start_again(self, build_id: str) -> dict[str, Any]:
        """Start a stored build once more. Raises Refused."""
        document = {**self.find(build_id), "active": True}
        document.pop("container", None)
        return self._launch(document)

    def find(self, build_id: str) -> dict[str, Any]:
        """Return the document of a build. Raises Refused."""
        if build_id not in self.builds:
            raise Refused(404, self._unknown(build_id))
        return self.builds[build_id]

    def pin(self, build_id: str, pinned: bool) -> dict[str, Any]:
        """Mark a build as one not to be taken down, or no longer. Raises Refused."""
        build = self.find(build_id)
        build |= {"pinned": pinned, "updatedAt": self._now()}
        return build

    def remove(self, build_id: str, force: bool, reaped: Mapping[str, str]) -> dict[str, Any]:
        """Take the container of a build down. Raises Refused, or Fatal where the real process would end.

        What the real one reports when this happens in the middle of a run was not measured; here the run is silent.
        """
        if build_id not in self.builds:
            raise Refused(500, self._unknown(build_id))
        build = self.builds[build_id]
        container = self._container_of(build)
        if container.running and not force:
            self._refuse_to_remove_running(build_id)
        for run in self._runs_of(build_id):
            self._break_off(run)
        self.containers.remove(container.name)
        build["container"]["state"] = "deleted"
        build |= {"active": False, "reaped": True, **reaped}
        self._tell(build_id, "removed")
        return {"status": "removed", "id": container.id}

    def wait_for(self, build_id: str) -> Deferred[None]:
        """Fire when the build has been started and nothing follows. Fails with Fatal if it hangs for ever."""
        if build_id in self._fatal:
            return fail(self._fatal[build_id])
        if self.started[build_id] and not self._runs_of(build_id):
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(build_id, []).append(waiting)
        return waiting

    def die(self, why: str) -> None:
        """End the process, and every build with it."""
        self.died = self.died or why
        self._tell("", f"the Container Manager has died: {why}")
        for run in list(self._runs):
            self._break_off(run)

    def hang(self, why: str) -> None:
        """Note that something waits for ever."""
        self.stuck.append(why)
        self._tell("", f"hangs for ever: {why}")

    def _launch(self, document: dict[str, Any]) -> dict[str, Any]:
        build_id = str(document["id"])
        self.builds[build_id] = document
        plan = read_plan(document, document.get("project", Nothing.UNDEFINED), self._new_id)
        self.started[build_id] += 1
        self._tell(build_id, "started")
        self._run(build_id, document, plan)
        container = {"id": plan.container_name, "name": plan.container_name}
        build = {"id": document["id"]}
        return {"status": "build started", "container": container, "build": build, "steps": plan.size}

    def _run(self, build_id: str, document: dict[str, Any], plan: Plan) -> None:
        run = BuildRun(
            setting=self.setting,
            clock=self._clock,
            caller=self._open_caller,
            containers=self.containers,
            builds=self.builds,
            document=document,
            plan=plan,
            now=self._now,
            on_status=lambda call, update: self._reported(build_id, call, update),
        )
        running = self._runs[run] = Deferred()
        running.addCallback(lambda _: Deferred.fromCoroutine(run.go()))
        running.addCallbacks(lambda _: self._ended(run), lambda failure: self._failed(run, failure))
        running.callback(None)

    def _call_ended(self, call: Call) -> None:
        self.on_call(call)

    def _reported(self, build_id: str, call: Call, update: dict[str, Any]) -> None:
        self.updates.setdefault(build_id, []).append(update)
        answer = call.status or call.failure
        self._tell(build_id, f"{update['context']} {update['state']}: {update['description']} -> {answer}")

    def _ended(self, run: BuildRun) -> None:
        build_id = str(run.document["id"])
        self._runs.pop(run, None)
        if not self._runs_of(build_id):
            self._tell(build_id, f"ended: {run.document.get('status')}")
            for waiting in self._waiting.pop(build_id, []):
                waiting.callback(None)

    def _failed(self, run: BuildRun, failure: Failure) -> None:
        """A run that is stuck stays a run for ever."""
        if failure.trap(CancelledError, Fatal) is CancelledError:
            self._ended(run)
            return
        build_id, fatal = str(run.document["id"]), cast(Fatal, failure.value)
        self._fatal[build_id] = fatal
        waiting = self._waiting.pop(build_id, [])
        if self._old:
            self.hang(f"build {build_id}: {fatal}")
        else:
            self.die(str(fatal))
        for one in waiting:
            one.errback(fatal)

    def _break_off(self, run: BuildRun) -> None:
        running = self._runs.pop(run)
        run.cancel()
        running.cancel()
        self.containers.stop(run.plan.container_name)

    def _runs_of(self, build_id: str) -> list[BuildRun]:
        return [run for run in self._runs if str(run.document["id"]) == build_id]

    def _container_of(self, build: Mapping[str, Any]) -> Container:
        if "container" not in build:
            raise Refused(200, {"error": "Contianer not found" if self._old else "Container not found"})
        container = self.containers.find(build["container"]["name"])
        if container is not None:
            return container
        if self._old:
            raise Refused(404, {"error": "[object Object]", "code": 404})
        raise Refused(200, {"error": "Container not found"})

    def _refuse_to_remove_running(self, build_id: str) -> None:
        if self._old:
            raise Refused(409, {"error": "[object Object]", "code": 409})
        raise Fatal(f"DELETE of the running build {build_id} without force=true")

    def _unknown(self, build_id: str) -> dict[str, str]:
        return {"message": f"Key not found in database [builds!{build_id}]"} if self._old else {}

    @property
    def _open_caller(self) -> Caller:
        if self._caller is None:
            raise RuntimeError("builds can be started only while it is open")
        return self._caller

    @property
    def _old(self) -> bool:
        return self.setting.variant == "v4.5.3"

    def _new_id(self) -> str:
        """Return 16 hexadecimal digits, unique, in ascending order."""
        return f"{(int(self._clock.seconds() * 1000) << 22) + next(self._flakes):016x}"

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
