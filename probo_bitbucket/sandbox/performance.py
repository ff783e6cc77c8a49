"""One performance of the sandbox: the stage is opened, the play is played, and everything is cleared away after it."""

from __future__ import annotations

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
from probo_bitbucket.sandbox.stage import SCOPES, Stage

STEP_TIME = 0.8  # seconds a step of the build takes, so that one can see it in progress
TIME_LIMIT = 60.0  # seconds that the first build may take


@frozen
class Wishes:
    """What the user asked for. A port of 0 is any free one; without a directory a temporary one is used."""

    once: bool
    data_dir: Path | None
    bitbucket_port: int
    handler_port: int
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
    with _directory(wishes.data_dir) as data_dir, _log_file(data_dir / "handler.log") as log_file:
        stage = Stage(reactor, data_dir, port=wishes.handler_port)
        stage.container_manager.setting.step_time = STEP_TIME
        try:
            await stage.open(wishes.bitbucket_port, wishes.container_manager_port)
            consumer = stage.cloud.add_consumer(
                "set-up", "secret-of-set-up", f"{stage.url}/setup/callback", scopes=SCOPES
            )
            programme.announce(
                {
                    "Bitbucket": stage.cloud.url,
                    "handler": stage.url,
                    "its dashboard": f"{stage.url}/",
                    "Container Manager": stage.container_manager.url,
                    "handler's log": log_file,
                    "handler's settings": f"{data_dir / 'settings.yaml'} (for commands: -c)",
                    "set-up page": f"{stage.url}/setup (key {consumer.key}, secret {consumer.secret})",
                }
            )
            await _play(stage, reactor, programme, wishes.once)
        except CannotListenError as error:
            programme.say(f"Port {error.port} is in use: choose another one, or 0 for any that is free. See --help.")
            raise SystemExit(1) from None
        finally:
            await stage.close()


async def _play(stage: Stage, reactor: Any, programme: Programme, once: bool) -> None:
    play = Play(stage, programme.tell, programme.show)
    pull_request = play.begin()
    try:
        await play.first_build(TIME_LIMIT, reactor)
        if not once:
            programme.say(f"Now open {stage.cloud.url}{pull_request.path} and press the buttons. Ctrl-C ends it.")
            programme.say()
            await Deferred()
    except NotThere as error:
        programme.say(str(error), "red")
        raise SystemExit(1) from None
    except CancelledError:
        programme.say()
        programme.say("Stopped.")
        if once:
            raise SystemExit(1) from None


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
