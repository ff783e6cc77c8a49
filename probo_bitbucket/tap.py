"""`twistd probo-bitbucket`: the options, and the service that they ask for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast
from urllib.parse import unquote, urlsplit

import attrs
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python import usage

from probo_bitbucket import __version__, bunyan, config, logs, service
from probo_bitbucket.log_file import LogFile, StandardOutput
from probo_bitbucket.signals import Signals
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.store.migrate import StoreTooNew
from probo_bitbucket.systemd import Notifier
from probo_bitbucket.web.doors import CannotListen

STOP_SECONDS = 10  # what is in flight then is in the store, and goes on after the next start

_SHORT = {"port": "p", "bitbucket-webhook-path": "P", "bitbucket-webhook-secret": "s", "bitbucket-api-token": "a"}

FORMS = {config.LogFormat.TEXT: logs.format_event, config.LogFormat.BUNYAN: bunyan.format_event}

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
        """Read the settings. Where they are wrong, ends the process with status 1 and a line for each mistake."""
        given = {key.name: self[option] for option, key in self._keys.items()}
        try:
            self.settings = config.load(self.files, os.environ, given)
        except config.SettingsError as error:
            # A UsageError would put the list of options in front of the lines that matter.
            sys.exit(str(error))


class Daemon(MultiService):
    """Everything that runs. Gives the application its log, and does not let a stop take for ever."""

    def __init__(self, observer: ILogObserver, clock: IReactorTime, *, foreground: bool = True) -> None:
        super().__init__()
        self._observer = observer
        self._clock = clock
        self._foreground = foreground

    def setServiceParent(self, parent: Any) -> None:
        """Called by twistd after it made the application, and before it looks there for a log observer."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Open store and ports. Where that fails the process ends with status 1, and does not stay as a deaf one."""
        try:
            super().privilegedStartService()
        except (StoreUnavailable, StoreTooNew, CannotListen) as error:
            words = "Cannot listen" if isinstance(error, CannotListen) else "Cannot open the store"
            _log.critical(words, event="daemon.deaf", reason=str(error))
            if self._foreground:
                sys.exit(1)  # without the traceback
            raise  # twistd takes this one to the terminal

    def stopService(self) -> Deferred[Any]:
        """Stop all parts, the last one first. Fires after STOP_SECONDS at the latest."""
        _log.info("Stopping", event="daemon.stopping")
        stopped = maybeDeferred(super().stopService)
        overdue = deferLater(self._clock, STOP_SECONDS, self._tell_overdue)
        stopped.addCallback(lambda _: overdue.cancel())
        return DeferredList([stopped, overdue], fireOnOneCallback=True, consumeErrors=True)

    def _tell_overdue(self) -> None:
        _log.error("Not all parts stopped in time", event="daemon.overdue", seconds=STOP_SECONDS)


def makeService(options: Options) -> IService:
    """Build the daemon: what service.py makes of the settings, and around it the log, signals and systemd."""
    from twisted.internet import reactor  # not before twistd has chosen one

    settings = options.settings
    for secret in secrets_of(settings):
        logs.hide(secret)
    for warning in settings.warnings:
        _log.warn("{warning}", warning=warning, event="settings.doubtful")
    twistd = cast(Mapping[str, Any], options.parent)
    try:
        destination = log_destination(settings, twistd)
    except OSError as error:
        sys.exit(f"The log cannot be written: {error}")
    notifier = Notifier(reactor)

    def reload() -> None:
        with notifier.reloading():
            destination.reopen()

    actions = {signal.SIGUSR1: destination.reopen, signal.SIGHUP: reload}
    daemon = Daemon(
        logs.LineObserver(destination.write, settings.log_level, FORMS[settings.log_format]),
        reactor,
        foreground=twistd["nodaemon"],
    )
    # The notifier is the last to start and the first to stop.
    for part in (
        Signals(cast(IReactorFromThreads, reactor), actions),
        service.make_service(settings, reactor),
        notifier,
    ):
        part.setServiceParent(daemon)
    return daemon


def log_destination(settings: config.Settings, twistd: Mapping[str, Any]) -> LogFile | StandardOutput:
    """Where the log goes: where *twistd*'s options say, or else the settings, or else where twistd would write it."""
    if twistd["syslog"]:
        sys.exit("--syslog: secrets would not be hidden there; use the settings' logFile, --logfile or systemd")
    if not twistd["logfile"] and settings.log_file_enabled:
        return LogFile(settings.log_file_path, settings.log_file_period, settings.log_file_count)
    if twistd["logfile"] == "-" and not twistd["nodaemon"]:
        sys.exit("--logfile=-: a daemon has no standard output; add -n")
    if twistd["nodaemon"] and twistd["logfile"] in (None, "", "-"):
        return StandardOutput()
    return LogFile(Path(twistd["logfile"] or "twistd.log").absolute())


def secrets_of(settings: config.Settings) -> Iterator[str]:
    """Every secret in the settings, to be hidden from the log."""
    yield from _hidden_values(settings)
    yield unquote(urlsplit(settings.database).password or "")


def _hidden_values(value: object) -> Iterator[str]:
    """Every text that the classes of *value* and of what it holds keep out of their repr."""
    if attrs.has(kind := type(value)):
        for field in attrs.fields(kind):
            part = getattr(value, field.name)
            yield from _texts(part) if field.repr is False else _hidden_values(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from _hidden_values(part)


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
