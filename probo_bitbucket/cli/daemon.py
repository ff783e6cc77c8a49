"""The daemon that runs, as commands call it."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click
from attrs import frozen

from probo_bitbucket.cli.addresses import addresses
from probo_bitbucket.cli.options import whereabouts

if TYPE_CHECKING:
    from probo_bitbucket.config import Whereabouts


class NoDaemon(click.ClickException):
    """Nobody answers where the settings say that the daemon listens."""


class NotLetIn(click.ClickException):
    """A daemon is there, and its internal routes are closed to us."""


@frozen
class Daemon:
    settings: Whereabouts

    def get(self, path: str, **query: Any) -> Any:
        """What the daemon answers to a GET; arguments that are None are left out. Raises ClickException."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given, doseq=True)}")

    def post(self, path: str, **body: Any) -> Any:
        """What the daemon answers to a POST. Raises ClickException."""
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        tried: list[str] = []
        for address in addresses(self.settings):
            connection = address.connection()
            try:
                connection.connect()
            except OSError as error:
                tried.append(f"{address.name} ({error.strerror or error})")
                continue
            return self._talk(connection, method, path, body, address.name)
        where = ", ".join(tried) or "the settings tell no address to call, as `internalListen` with one of TCP would"
        raise NoDaemon(f"No daemon answers: {where}. Start it, or give its settings with -c.")

    def _talk(self, connection: HTTPConnection, method: str, path: str, body: bytes | None, name: str) -> Any:
        token = self.settings.internal_token
        try:
            connection.request(method, f"/t/{token}{path}" if token else path, body)
            response = connection.getresponse()
            said = response.read()
        except (OSError, HTTPException) as error:
            raise click.ClickException(f"The daemon at {name} broke off: {error or type(error).__name__}.") from error
        finally:
            connection.close()
        try:
            document = json.loads(said)
        except ValueError:
            raise NoDaemon(f"What answers at {name} is no daemon of ours.") from None
        if response.status >= 400:
            raise _refused(response.status, document, name)
        return document


def _refused(status: int, document: Any, name: str) -> click.ClickException:
    words = document.get("error") or document.get("message") if isinstance(document, dict) else None
    if status == 403 and words == "forbidden":
        return NotLetIn(
            f"The daemon at {name} does not let this machine in: name it in internalAccess, or give both internalToken."
        )
    return click.ClickException(str(words or f"The daemon at {name} answered {status}."))


def daemon(files: tuple[Path, ...]) -> Daemon:
    """The daemon that has these settings."""
    return Daemon(whereabouts(files))
