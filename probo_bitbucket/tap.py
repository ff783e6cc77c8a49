"""`twistd probo-bitbucket`: the options, and the service that they ask for."""

from __future__ import annotations

import gc
import linecache
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python import usage

from probo_bitbucket import __version__, config, logs, service
from probo_bitbucket.config.secrets import secrets_of
from probo_bitbucket.daemon import Daemon, Terminal
from probo_bitbucket.log_output import LogOutput
from probo_bitbucket.reload import Reload
from probo_bitbucket.signals import Signals
from probo_bitbucket.systemd import Notifier

_SHORT = {"port": "p", "bitbucket-webhook-path": "P", "bitbucket-webhook-secret": "s", "bitbucket-api-token": "a"}

_log = Logger()


class Options(usage.Options):
    """The options of the Node handlers. They win over environment variables, and these over the files."""

    longdesc = (
        "Receives Bitbucket's webhooks, has Probo build a preview environment for every pull request, and reports "
        "there how it goes. Settings come from YAML files, from environment variables PROBO_BITBUCKET_... and from "
        "these options. Every user of the machine can see options: secrets are better kept in files."
    )

    _keys: ClassVar = {key.option.removeprefix("--"): key for key in config.KEYS if key.option}
    optParameters: ClassVar = [[option, _SHORT[option], None, key.help] for option, key in _keys.items()]

    settings: config.Settings

    def __init__(self) -> None:
        super().__init__()
        self.files: list[Path] = []
        self._directory = Path.cwd()

    def opt_config(self, path: str) -> None:
        """A YAML file with settings, or a directory of such. Can be given again; later ones win."""
        # twistd changes its directory before it starts.
        self.files.append(Path(path).absolute())

    opt_c = opt_config

    def opt_version(self) -> NoReturn:
        """Show the version and exit."""
        print(f"probo-bitbucket {__version__}")  # noqa: T201
        sys.exit(0)

    def postOptions(self) -> None:
        """Read the settings. Where they are wrong, ends the process with EX_CONFIG and a line for each mistake."""
        try:
            self.settings = self.read()
        except config.SettingsError as error:
            # A UsageError would put the list of options in front of the lines that matter.
            print(error, file=sys.stderr)  # noqa: T201
            sys.exit(os.EX_CONFIG)

    def read(self) -> config.Settings:
        """The settings as they are now. Names of files mean what they meant at the start. Raises SettingsError."""
        given = {key.name: self[option] for option, key in self._keys.items()}
        with chdir(self._directory):
            return config.load(self.files, os.environ, given)


def makeService(options: Options) -> IService:
    """Build the daemon: what service.py makes of the settings, and around it the log, signals and systemd."""
    from twisted.internet import reactor  # not before twistd has chosen one

    _settle_down()
    twistd = cast(Mapping[str, Any], options.parent)
    pid_file = Path(twistd["pidfile"]).absolute() if twistd["pidfile"] else None
    if pid_file and not os.access(pid_file.parent, os.W_OK | os.X_OK):
        sys.exit(f"{pid_file} cannot be written: give twistd another --pidfile=, or an empty one for none")
    settings = options.settings
    take_note(settings)
    try:
        log = LogOutput(twistd, settings)
    except OSError as error:
        sys.exit(f"The log cannot be written: {error} (`logFile.path` of the settings, or twistd's --logfile)")
    notifier = Notifier(reactor)
    handler = service.Handler(settings, reactor)

    def read_again() -> config.Settings:
        settings = options.read()
        take_note(settings)
        return settings

    reload = Reload(read_again, handler, notifier, log)
    actions = {signal.SIGUSR1: log.reopen, signal.SIGHUP: reload.start}
    terminal = None if log.on_terminal else Terminal()
    if terminal:
        terminal.say(f"The log is in {log.path}")
    daemon = Daemon(
        log.observer,
        reactor,
        foreground=bool(twistd["nodaemon"]),
        terminal=terminal,
        pid_file=pid_file,
    )
    # The notifier is the last to start and the first to stop.
    for part in (Signals(cast(IReactorFromThreads, reactor), actions), handler, notifier):
        part.setServiceParent(daemon)
    return daemon


def _settle_down() -> None:
    """Keep of what was imported what is needed, and that for ever."""
    linecache.clearcache()  # attrs leaves the text of all methods there that it makes
    sys.path_importer_cache.clear()  # the names of all files beside those that were imported
    gc.collect()
    gc.freeze()  # each search through it for garbage would stop everything for 0.1 seconds


def take_note(settings: config.Settings) -> None:
    """Never show the secrets, and tell what is doubtful."""
    for secret in secrets_of(settings):
        logs.hide(secret)
    for warning in settings.warnings:
        _log.warn("{warning}", warning=warning, event="settings.doubtful")
