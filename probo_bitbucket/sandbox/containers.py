"""The containers of the simulated Container Manager: at most one of a name, as Docker has it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from attrs import define


class InUse(Exception):
    """The container of this name runs already."""

    def __init__(self) -> None:
        super().__init__("Build already in progress")


@define(eq=False)
class Container:
    id: str  # 64 hexadecimal digits
    name: str
    running: bool = True
    reused: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """The container as GET /containers shows it."""
        state = {"Status": "running" if self.running else "exited", "Running": self.running, "Paused": False}
        return {"id": self.id, "name": self.name, "state": {**state, "ExitCode": 0}, "ports": {}}


class Containers:
    """All containers, by name."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}

    def start(self, name: str) -> Container:
        """Start the container of this name, or make one. Raises InUse."""
        container = self._containers.get(name)
        if container is None:
            container = self._containers[name] = Container(uuid4().hex + uuid4().hex, name)
        elif container.running:
            raise InUse
        else:
            container.running = container.reused = True
        return container

    def stop(self, name: str) -> None:
        """Stop the container, if it is still there."""
        if name in self._containers:
            self._containers[name].running = False

    def find(self, name: str) -> Container | None:
        return self._containers.get(name)

    def remove(self, name: str) -> None:
        del self._containers[name]

    @property
    def document(self) -> dict[str, Any]:
        """All containers, as GET /containers shows them."""
        running = sum(container.running for container in self._containers.values())
        containers = [container.document for container in self._containers.values()]
        return {"capacity": -1, "running": running, "stopped": len(containers) - running, "containers": containers}
