"""The stage: a simulated Bitbucket and Container Manager, with the real daemon between them, on real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime

from probo_bitbucket import config
from probo_bitbucket.sandbox.bitbucket import BitbucketCloud
from probo_bitbucket.sandbox.container_manager import ContainerManager
from probo_bitbucket.service import Handler

KEY = "sandbox-consumer"
SECRET = "sandbox-consumer-secret"  # noqa: S105 (of the simulated Bitbucket)
HOOK_SECRET = "sandbox-hook-secret"  # noqa: S105
SCOPES = ("pullrequest", "webhook")
EVENTS = (
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
)
CONFIGURATION = b"steps:\n  - name: Hello\n    command: echo hi\n  - name: Fine\n    command: 'true'\n"


_HEAD = """\
# The settings of the sandbox's daemon, as an operator would write them, for the commands: -c THIS FILE.
# bbApiUrl and bbSiteUrl lead to the simulated Bitbucket (without them it is the real one), api to the simulated
# Container Manager.
"""


class Stage:
    """Settings can be given by their YAML names; they replace those of the stage.

    *from_nothing*: without credentials and secrets, as an operator begins, and with a workspace without consumers.
    """

    def __init__(self, reactor: Any, data_dir: Path, *, from_nothing: bool = False, **settings: Any) -> None:
        self._reactor = reactor
        self._data_dir = data_dir
        self._given = settings
        self.cloud = BitbucketCloud(cast(IReactorTime, reactor))
        self.refresh_token = "" if from_nothing else self._register()
        self.container_manager = ContainerManager(
            cast(IReactorTime, reactor), handler_url="", auth_url="", archive_url=""
        )
        self.handler: Handler | None = None
        self.url = ""

    def _register(self) -> str:
        """Give the daemon a consumer; return its first refresh token."""
        self.consumer = self.cloud.add_consumer(KEY, SECRET, scopes=SCOPES)
        return self.cloud.credentials.issue_refresh_token(KEY)

    def _choose_port(self) -> None:
        """A webhook's URL needs the port before anybody listens."""
        if not self._given.get("port"):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._given["port"] = free.getsockname()[1]
        self._given.setdefault("publicUrl", f"http://127.0.0.1:{self._given['port']}")

    async def open(self, bitbucket_port: int = 0, container_manager_port: int = 0) -> None:
        """Start all three; `url` is the daemon's then. 0: any free port. Raises CannotListenError."""
        await self.cloud.listen(self._reactor, bitbucket_port)
        await self.container_manager.listen(self._reactor, container_manager_port)
        self._choose_port()
        self._given.setdefault("api", {"url": self.container_manager.url})
        self.start_handler()
        if self.refresh_token:
            self.consumer.callback_url = f"{self.url}/setup/callback"

    def start_handler(self) -> None:
        """Start the daemon, on the port that it had before if it was stopped."""
        settings = self.settings()
        handler = Handler(settings, self._reactor)
        handler.privilegedStartService()
        self.handler = handler
        self.handler.startService()
        self.url = f"http://127.0.0.1:{self.handler.port}"
        setting = self.container_manager.setting
        setting.handler_url, setting.auth_url, setting.archive_url = self.url, f"{self.url}/auth_lookup", self.cloud.url

    async def reload(self, **settings: Any) -> None:
        """Have the daemon go on with other settings, as SIGHUP would."""
        self._given |= settings
        if self.handler is not None:
            await self.handler.reload(self.settings())

    async def stop_handler(self) -> None:
        """Stop the daemon as a signal would."""
        if self.handler is not None:
            await self.handler.stopService()
            self.handler = None

    async def close(self) -> None:
        await self.stop_handler()
        await self.container_manager.stop()
        await self.cloud.stop()

    @property
    def written(self) -> Mapping[str, Any]:
        """The daemon's settings, as an operator would write them."""
        return {
            "hostname": "127.0.0.1",
            "dataDir": str(self._data_dir),
            "bbApiUrl": self.cloud.api_url,
            "bbSiteUrl": self.cloud.url,
            **(self._secrets() if self.refresh_token else {}),
            **self._given,
        }

    def _secrets(self) -> Mapping[str, str]:
        return {
            "bbClientKey": KEY,
            "bbClientSecret": SECRET,
            "bbRefreshToken": self.refresh_token,
            "bbWebhookSecret": HOOK_SECRET,
        }

    def settings(self) -> config.Settings:
        """The daemon's settings, read from a file as an operator's are."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._data_dir / "settings.yaml"
        path.touch(mode=0o600)
        lines = (f"{key}: {json.dumps(value)}\n" for key, value in self.written.items())  # JSON is YAML
        path.write_text(_HEAD + "".join(lines))
        return config.load([path], {}, {})

    def watch(self, full_name: str, *events: str) -> None:
        """Give a repository, or a workspace, the webhook that it needs; *events* besides those of pull requests."""
        self.cloud.add_hook(full_name, f"{self.url}/bitbucket-webhook", (*EVENTS, *events), HOOK_SECRET)
