"""What a simulated build is going to do: read out of the document that came with /startbuild, as strictly as Node.

The real Container Manager reads properties without looking first; where one is missing, its answer is Node's complaint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from attrs import define, field, frozen

PLUGINS = frozenset({"Shell", "Script", "LAMPApp", "Drupal", "WordPressApp", "Backdrop", "Lighthouse", "DrushFetcher"})
DOWNLOADERS = {"bitbucket": "BitbucketDownloader", "github": "GithubDownloader"}  # those that are played
ENV = "env"  # the context of everything that happens before the first step


class Nothing(Enum):
    """JavaScript's value of what is not there."""

    UNDEFINED = "undefined"


class NodeError(Exception):
    """What Node's error says; the Container Manager passes it on."""


@define(eq=False)
class Task:
    """One thing that is done in the container, and its result."""

    id: str
    name: str
    plugin: str
    description: str
    context: str  # without the instance's name
    result: dict[str, int | None] = field(factory=lambda: {"code": None, "time": None})  # exit code, milliseconds

    @property
    def document(self) -> dict[str, Any]:
        """The task as status calls show it."""
        return {"id": self.id, "name": self.name, "plugin": self.plugin, "timeout": 6000, "result": {**self.result}}


@frozen
class Plan:
    """The tasks of one run: first the download, then the assets, then the steps with a plugin that exists."""

    container_name: str
    archive: str  # path below the Bitbucket site; empty for GitHub's, which is not played
    refresh_token: str | None
    image: str | None
    download: Task
    assets: list[Task]  # one for all of them, or none
    steps: list[Task]

    @property
    def size(self) -> int:
        """What the answer to /startbuild calls steps."""
        return 1 + len(self.assets) + len(self.steps)


def read_plan(build: Any, project: Any, new_id: Callable[[], str]) -> Plan:
    """Plan a run. Raises NodeError where the real one would answer 500."""
    slug, config = _of(project, "slug"), _of(build, "config")
    _of(slug, "replace")
    provider = _of(_of(project, "provider"), "type")
    if provider not in DOWNLOADERS:
        raise NodeError(f"Download: unsupported provider type: {_shown(provider)}")
    auth = _of(project, "service_auth")
    _of(auth, "token")
    ref, image = _of(_of(build, "commit"), "ref"), _of(config, "image")
    owner, repository, refresh_token = _of(project, "owner"), _of(project, "repo"), _of(auth, "refreshToken")
    source = f"{_shown(owner)}/{_shown(repository)}"
    return Plan(
        container_name=f"probo--{str(slug).replace('/', '.')}--{_shown(_of(project, 'id'))}--{build['id']}",
        archive=f"{source}/get/{_shown(ref)}.tar.gz" if provider == "bitbucket" else "",
        refresh_token=refresh_token if isinstance(refresh_token, str) else None,
        image=image if isinstance(image, str) else None,
        download=_setup_task(new_id(), DOWNLOADERS[provider], f"{source} @ {_shown(ref)}"),
        assets=list(_assets(_of(config, "assets"), new_id)),
        steps=list(_steps(_of(config, "steps"), new_id)),
    )


def exit_code(task: Task) -> int:
    """How a step ends if nobody says otherwise: `false` and `exit 1` fail, everything else succeeds."""
    if task.description == "false":
        return 1
    exit_command = re.fullmatch(r"exit (\d{1,3})", task.description)
    return int(exit_command[1]) if exit_command else 0


def _of(value: Any, name: str) -> Any:
    """Return a property as JavaScript does, which complains only if there is nothing to have one."""
    if value is None or value is Nothing.UNDEFINED:
        raise NodeError(f"Cannot read properties of {_shown(value)} (reading '{name}')")
    return value.get(name, Nothing.UNDEFINED) if isinstance(value, dict) else Nothing.UNDEFINED


def _shown(value: Any) -> str:
    if value is Nothing.UNDEFINED:
        return "undefined"
    return "null" if value is None else str(value)


def _setup_task(task_id: str, plugin: str, what: str) -> Task:
    return Task(task_id, f"{plugin} task", plugin, f"{plugin} {what}", ENV)


def _assets(assets: Any, new_id: Callable[[], str]) -> Iterator[Task]:
    """Yield one task for all assets: each is a name, or a mapping of an id to a name."""
    if isinstance(assets, list) and assets:
        names = [next(iter(asset)) if isinstance(asset, dict) and asset else str(asset) for asset in assets]
        yield _setup_task(new_id(), "AssetDownloader", ", ".join(map(str, names)))


def _steps(steps: Any, new_id: Callable[[], str]) -> Iterator[Task]:
    """Yield the tasks of the steps. A plugin that does not exist is passed over without a word."""
    for step in steps if isinstance(steps, list) else []:
        plugin, name = _of(step, "plugin"), _of(step, "name")
        plugin = "Shell" if plugin is Nothing.UNDEFINED else plugin
        if isinstance(plugin, str) and plugin in PLUGINS:
            name = f"{plugin} task" if name is Nothing.UNDEFINED else str(name)
            yield Task(new_id(), name, plugin, _step_description(plugin, step), f"{plugin}/{name}")


def _step_description(plugin: str, step: Any) -> str:
    """Return what the Container Manager writes behind the icon: the whole command where there is one."""
    if plugin == "Shell":
        return _shown(_of(step, "command"))
    if plugin == "Script":
        script = _of(step, "script")
        return "\n".join(map(str, script)) if isinstance(script, list) else _shown(script)
    return "LAMPApp 'Provisioning LAMP Application!'" if plugin == "LAMPApp" else plugin
