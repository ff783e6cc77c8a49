"""Reload: the settings are read again while the daemon runs. What cannot be used is told, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from probo_bitbucket.config import Settings, SettingsError
from probo_bitbucket.log_output import LogOutput
from probo_bitbucket.service import Handler
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.systemd import Notifier
from probo_bitbucket.web.doors import CannotListen


@define(eq=False)
class Reload:
    """*read* returns the settings as they are now, or raises SettingsError."""

    read: Callable[[], Settings]
    handler: Handler
    notifier: Notifier
    log: LogOutput

    _log = Logger()

    def start(self) -> None:
        """Begin to read the settings again. The log is opened again first, whatever they say."""
        self.log.reopen()
        Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        with self.notifier.reloading():
            try:
                await self._follow(self.read())
            except SettingsError as error:
                self._refuse(*error.problems)
            except (CannotListen, StoreUnavailable, OSError) as error:
                self._refuse(str(error))
            except Exception:  # noqa: BLE001 (what works goes on)
                self._log.failure("The settings were not read again", event="settings.refused")
            else:
                self._log.info("The settings were read again, and count from now on", event="settings.reloaded")

    async def _follow(self, settings: Settings) -> None:
        follow = self.log.prepare(settings)
        await self.handler.reload(settings)
        follow()

    def _refuse(self, *problems: str) -> None:
        for problem in problems:
            self._log.error("{problem}", problem=problem, event="settings.refused")
        self._log.error("The settings from before count on", event="settings.refused")
