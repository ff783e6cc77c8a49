"""`probo-bitbucket sandbox` as people start and stop it, and what it says where the build does not succeed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from probo_bitbucket import __version__
from probo_bitbucket.bitbucket.hooks import EVENTS
from probo_bitbucket.sandbox.faults import JSON, Answer, Fault
from probo_bitbucket.sandbox.narrator import Event
from probo_bitbucket.sandbox.play import NotThere, Play
from probo_bitbucket.sandbox.pullrequest import PullRequest
from tests.staged import StageTestCase

COMMAND = (sys.executable, "-m", "probo_bitbucket")
ANY_PORTS = ("--bitbucket-port=0", "--daemon-port=0", "--container-manager-port=0")


def environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary)}


def probo_bitbucket(temporary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        cwd=temporary,
        env=environment(temporary),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_once_plays_a_whole_build_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = probo_bitbucket(tmp_path, "sandbox", "--once", *ANY_PORTS)
    assert (ended.returncode, ended.stderr) == (0, "")
    told = (
        "opens pull request #1",
        'pullrequest:created: 200 {"ok":true}',
        "reads .probo.yaml at",
        "POST /startbuild: 200",
        "INPROGRESS  ProboCI/env",
        "GET /auth_lookup: 200",
        "downloads acme/site at",
        "SUCCESSFUL  ProboCI/env",
        "all 5 statuses are SUCCESSFUL",
    )
    places = [ended.stdout.index(line) for line in told]
    assert places == sorted(places)
    assert re.search(r"(?m)^its dashboard +http://\S+/$", ended.stdout)
    assert re.search(r"(?m)^set-up page +http://\S+/setup$", ended.stdout)
    assert "\x1b" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_data_directory_is_kept_where_one_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert probo_bitbucket(tmp_path, "sandbox", "--once", f"--data-dir={kept}", *ANY_PORTS).returncode == 0
    assert "delivery.accepted" in (kept / "daemon.log").read_text()
    assert kept.stat().st_mode & 0o777 == 0o700
    settings = (kept / "settings.yaml").read_text().splitlines()
    assert settings[0].startswith("# The settings of the sandbox's daemon")
    assert [line.partition(": ")[0] for line in settings if line[:1] != "#"][:2] == ["hostname", "dataDir"]
    refused = probo_bitbucket(tmp_path, "sandbox", "--once", f"--data-dir={kept}", *ANY_PORTS)
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr


def test_a_directory_that_is_there_becomes_the_users_own(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    assert probo_bitbucket(tmp_path, "sandbox", "--once", f"--data-dir={kept}", *ANY_PORTS).returncode == 0
    assert kept.stat().st_mode & 0o777 == 0o700


def test_once_and_from_nothing_do_not_go_together(tmp_path: Path) -> None:
    ended = probo_bitbucket(tmp_path, "sandbox", "--once", "--from-nothing", *ANY_PORTS)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--from-nothing waits for you" in ended.stderr


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_until_it_is_stopped_and_clears_away(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "sandbox", *ANY_PORTS],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    while "Ctrl-C" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines()[-1] == "Stopped."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("who", ["bitbucket", "daemon", "container-manager"])
def test_a_port_that_is_in_use_is_told_in_a_line(tmp_path: Path, busy_port: int, who: str) -> None:
    ended = probo_bitbucket(tmp_path, "sandbox", *ANY_PORTS, f"--{who}-port={busy_port}")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith(f"Port {busy_port} is in use")
    assert len(ended.stdout.splitlines()) == 1


def test_version_and_help_are_there(tmp_path: Path) -> None:
    assert probo_bitbucket(tmp_path, "--version").stdout == f"probo-bitbucket {__version__}\n"
    assert "sandbox" in probo_bitbucket(tmp_path, "--help").stdout
    assert "--container-manager-port" in probo_bitbucket(tmp_path, "sandbox", "--help").stdout


class PlayThatFails(StageTestCase):
    def begin(self) -> Play:
        self.events: list[Event] = []
        self.shown: list[PullRequest] = []
        play = Play(self.stage, self.events.append, self.shown.append)
        play.begin()
        return play

    async def test_a_build_that_is_not_started_in_time_is_told_with_the_last_step(self) -> None:
        self.container_manager.faults.add(Fault(Answer(500, b"{}", JSON), "/startbuild"))
        clock = Clock()
        play = self.begin()
        waiting = Deferred.fromCoroutine(play.first_build(60, clock))
        await self.until(lambda: any(event.text == "POST /startbuild: 500" for event in self.events))
        clock.advance(60)
        with pytest.raises(NotThere) as ended:
            await waiting
        assert str(ended.value) == (
            "Not there after 60 seconds. The last step was: the daemon read the configuration. "
            "What did not come: the Container Manager started the build."
        )
        assert self.shown == []
        await self.cloud.settled()

    async def test_a_build_with_a_step_that_fails_is_over_but_no_success(self) -> None:
        self.container_manager.setting.outcome = lambda task: int(task.name == "Run the tests")
        play = self.begin()
        with pytest.raises(NotThere, match=re.escape("not successful: ProboCI/Script/Run the tests.")):
            await play.first_build(60, Clock())
        assert [pull_request.number for pull_request in self.shown] == [1]
        await self.cloud.settled()

    async def test_a_second_build_is_shown_as_well(self) -> None:
        play = self.begin()
        await play.first_build(60, Clock())
        self.shown[0].push({"index.php": b"<h1>Hello</h1>\n"})
        await self.until(lambda: len(self.shown) == 2)
        assert any(event.text.startswith("pushes to pull request #1") for event in self.events)
        await self.cloud.settled()

    async def test_its_webhook_has_the_title_and_the_events_that_it_should_have(self) -> None:
        self.cloud.hooks.clear()
        await self.begin().first_build(60, Clock())
        [hook] = self.cloud.hooks["acme/site"]
        assert hook.events == EVENTS.keys()
        assert hook.description  # the form wants one
        await self.cloud.settled()
