"""One performance of the sandbox: the stage is opened, the play is played, and everything is cleared away after it."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    globalLogPublisher,
    textFileLogObserver,
)

from probo_bitbucket.log_file import LogFile
from probo_bitbucket.logs import LineObserver
from probo_bitbucket.sandbox.play import NotThere, Play
from probo_bitbucket.sandbox.programme import Programme
from probo_bitbucket.sandbox.stage import Stage

STEP_TIME = 0.8  # seconds a step of the build takes, so that one can see it in progress
TIME_LIMIT = 60.0  # seconds that the first build may take


@frozen
class Wishes:
    """What the user asked for. A port of 0 is any free one; without a directory a temporary one is used."""

    once: bool
    from_nothing: bool
    data_dir: Path | None
    bitbucket_port: int
    daemon_port: int
    container_manager_port: int


def perform(reactor: Any, stream: TextIO, wishes: Wishes) -> Deferred[None]:
    """Tell the play on *stream*. Fires when all is over and cleared away; fails with SystemExit if it was no success.

    When the reactor is stopped, by Ctrl-C or SIGTERM, it waits for the clearing away.
    """
    performance = Deferred.fromCoroutine(_perform(reactor, Programme(stream, reactor), wishes))
    cleared: Deferred[None] = Deferred()

    def clear(result: Any) -> Any:
        cleared.callback(None)
        return result

    def stop() -> Deferred[None]:
        performance.cancel()
        return cleared

    performance.addBoth(clear)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return performance


async def _perform(reactor: Any, programme: Programme, wishes: Wishes) -> None:
    with _directory(wishes.data_dir) as data_dir, _log_file(data_dir / "daemon.log") as log_file:
        stage = Stage(reactor, data_dir, from_nothing=wishes.from_nothing, port=wishes.daemon_port)
        stage.container_manager.setting.step_time = STEP_TIME
        settings = data_dir / "settings.yaml"
        try:
            await stage.open(wishes.bitbucket_port, wishes.container_manager_port)
            programme.announce(
                {
                    "Bitbucket": stage.cloud.url,
                    "daemon": stage.url,
                    "its dashboard": f"{stage.url}/",
                    "Container Manager": stage.container_manager.url,
                    "daemon's log": log_file,
                    "daemon's settings": f"{settings} (for commands: -c)",
                    "set-up page": f"{stage.url}/setup",
                }
            )
            play = Play(stage, programme.tell, programme.show)
            if wishes.from_nothing:
                await _set_up_by_hand(stage, play, programme, settings)
            else:
                await _play(stage, play, reactor, programme, wishes.once)
        except CannotListenError as error:
            programme.say(f"Port {error.port} is in use: choose another one, or 0 for any that is free. See --help.")
            raise SystemExit(1) from None
        finally:
            await stage.close()


async def _play(stage: Stage, play: Play, reactor: Any, programme: Programme, once: bool) -> None:
    pull_request = play.begin()
    try:
        await play.first_build(TIME_LIMIT, reactor)
        if not once:
            await _stay(programme, f"Now open {stage.cloud.url}{pull_request.path} and press the buttons.")
    except NotThere as error:
        programme.say(str(error), "red")
        raise SystemExit(1) from None
    except CancelledError:
        _say_goodbye(programme)
        if once:
            raise SystemExit(1) from None


async def _set_up_by_hand(stage: Stage, play: Play, programme: Programme, settings: Path) -> None:
    repository = play.furnish().full_name
    programme.say("Nothing is set up: the daemon has no credentials, and no webhook leads to it.", "bold")
    for step in (
        f"Begin at {stage.url}/setup, which tells what to click in Bitbucket: that is {stage.cloud.url}",
        f"Add the webhook of {repository} at {stage.url}/hooks, and test it.",
        f"Open a pull request at {stage.cloud.url}/{repository}, and see what becomes of it at {stage.url}/",
    ):
        programme.say(f"  {step}")
    programme.say("On a terminal, the first two are:")
    for command in ("setup --store", f"hooks add {repository}", f"hooks test {repository}"):
        programme.say(f"  {_our_command()} {command} -c {shlex.quote(str(settings))}")
    try:
        await _stay(programme)
    except CancelledError:
        _say_goodbye(programme)


def _our_command() -> str:
    """How a shell in this directory starts us: in a checkout, our command is not on the PATH."""
    if shutil.which("probo-bitbucket"):
        return "probo-bitbucket"
    started = Path(sys.argv[0]).absolute()
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {__name__.partition('.')[0]}"
    here = Path.cwd()
    return shlex.quote(str(started.relative_to(here) if started.is_relative_to(here) else started))


async def _stay(programme: Programme, *invitation: str) -> None:
    programme.say(" ".join((*invitation, "Ctrl-C ends it.")))
    programme.say()
    await Deferred()


def _say_goodbye(programme: Programme) -> None:
    programme.say()
    programme.say("Stopped.")


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        wanted.chmod(0o700)  # also where it was there: there will be secrets in it
        yield wanted.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="probo-bitbucket-sandbox-") as temporary:
        yield Path(temporary)


@contextmanager
def _log_file(path: Path) -> Iterator[Path]:
    """Log to *path*. What should never happen goes to standard error besides."""
    observer = LineObserver(LogFile(path).write, "info")
    critical = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(defaultLogLevel=LogLevel.critical)]
    )
    globalLogBeginner.beginLoggingTo([observer, critical], redirectStandardIO=False)
    try:
        yield path
    finally:
        # The log file would come back, and its directory with it, at the next line.
        globalLogPublisher.removeObserver(observer)
