"""`twistd probo-bitbucket` as its users start, signal and stop it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.scripts._twistd_unix import ServerOptions

from probo_bitbucket import __version__, logs, service, tap
from probo_bitbucket.daemon import STOP_SECONDS, Daemon
from tests.waiting import until

TWISTD = Path(sys.executable).with_name("twistd")

SETTINGS = """
port: 0
hostname: 127.0.0.1
bbAccessToken: c4n4ry-access-token
api: {url: "http://127.0.0.1:9"}
dataDir: ./data
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with settings in it; the log's default is beside it."""
    work = tmp_path / "work"
    work.mkdir()
    settings = work / "settings.yaml"
    settings.write_text(SETTINGS)
    settings.chmod(0o600)
    monkeypatch.chdir(work)
    return work


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [TWISTD, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A container's first process may leave the dead unburied.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def terminate(pid: int) -> None:
    """Send SIGTERM, not before the reactor runs and has its handler in place."""
    until(lambda: handles(pid, signal.SIGTERM), "a handler for SIGTERM")
    os.kill(pid, signal.SIGTERM)


def handles(pid: int, number: signal.Signals) -> bool:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


@pytest.fixture
def daemon(directory: Path) -> Iterator[int]:
    """The process id of a daemon in the background that logs to the default file."""
    with (directory / "settings.yaml").open("a") as settings:
        settings.write("logFile: {enabled: true}\n")
    started = twistd("--pidfile=bitbucket.pid", "probo-bitbucket", "-c", "settings.yaml")
    told = f"The log is in {directory.parent / 'logs' / 'bitbucket.log'}\n"
    assert (started.returncode, started.stdout, started.stderr) == (0, "", told)
    pid = int((directory / "bitbucket.pid").read_text())
    yield pid
    if not gone(pid):
        os.kill(pid, signal.SIGKILL)


def test_help_names_every_option(directory: Path) -> None:
    shown = twistd("-n", "probo-bitbucket", "--help")
    assert shown.returncode == 0
    for option in ("-c, --config=", "-p, --port=", "-P, --bitbucket-webhook-path=", "-s, --bitbucket-webhook-secret="):
        assert option in shown.stdout
    assert "-a, --bitbucket-api-token=" in shown.stdout
    assert "Settings come from YAML files" in shown.stdout


def test_version_is_ours(directory: Path) -> None:
    assert twistd("probo-bitbucket", "--version").stdout == f"probo-bitbucket {__version__}\n"


def test_wrong_settings_are_all_that_is_said_and_nothing_starts(directory: Path) -> None:
    (directory / "settings.yaml").write_text("port: many\napi: {url: 'http://127.0.0.1:9'}\nbbWebhokUrl: /x\n")
    ended = twistd("--pidfile=bitbucket.pid", "probo-bitbucket", "-c", "settings.yaml", "-c", "absent.yaml")
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    problems = ended.stderr.splitlines()
    assert len(problems) == 3
    assert any(line.startswith(f"{directory}/settings.yaml:1: ") and "port" in line for line in problems)
    assert any(line.startswith(f"{directory}/settings.yaml:3: ") and "bbWebhookUrl" in line for line in problems)
    assert any(line.startswith(f"{directory}/absent.yaml: ") for line in problems)
    assert [file.name for file in directory.iterdir()] == ["settings.yaml"]


def parse(*arguments: str) -> tap.Options:
    options = tap.Options()
    options.parseOptions(arguments)
    return options


def test_options_win_over_files(directory: Path) -> None:
    consumer = SETTINGS.replace("bbAccessToken: c4n4ry-access-token", "bbClientKey: key\nbbClientSecret: c4n4ry")
    (directory / "settings.yaml").write_text(consumer)  # what coordinator mode needs
    short = parse("-c", "settings.yaml", "-p", "1", "-P", "/hook", "-s", "c4n4ry", "-a", "c4n4ry2").settings
    given = (short.port, short.webhook_url, short.webhook_secrets, short.api_token)
    assert given == (1, "/hook", ("c4n4ry",), "c4n4ry2")
    long = ("--port=1", "--bitbucket-webhook-path=/hook", "--bitbucket-webhook-secret=c4n4ry")
    assert parse("--config=settings.yaml", *long, "--bitbucket-api-token=c4n4ry2").settings == short


def test_later_files_win(directory: Path) -> None:
    more = directory / "more.d"
    more.mkdir()
    (more / "10-port.yaml").write_text("port: 4000\n")
    assert parse("-c", "settings.yaml", "-c", "more.d").settings.port == 4000


def test_files_are_found_before_twistd_changes_its_directory(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    started = twistd(
        "--rundir=../run", "--pidfile=a.pid", "--logfile=own.log", "probo-bitbucket", "-c", "settings.yaml"
    )
    assert started.returncode == 0, started.stderr
    terminate(int((directory / "a.pid").read_text()))
    until(lambda: "Server Shut Down." in (directory / "own.log").read_text(), "the end of the log")


def test_a_daemon_logs_to_the_file_of_the_settings(daemon: int, directory: Path) -> None:
    log = directory.parent / "logs" / "bitbucket.log"
    assert "reactor class" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o640
    assert log.parent.stat().st_mode & 0o777 == 0o750
    assert not (directory / "twistd.log").exists()


def test_sigterm_ends_the_daemon_in_order(daemon: int, directory: Path) -> None:
    terminate(daemon)
    until(lambda: gone(daemon), "the end of the daemon", seconds=STOP_SECONDS)
    assert not (directory / "bitbucket.pid").exists()
    log = (directory.parent / "logs" / "bitbucket.log").read_text()
    assert log.index("daemon.stopping") < log.index("Main loop terminated.") < log.index("Server Shut Down.")
    assert " error " not in log
    assert " critical " not in log


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_signals_reopen_the_log_that_logrotate_moved(daemon: int, directory: Path, number: signal.Signals) -> None:
    log = directory.parent / "logs" / "bitbucket.log"
    log.rename(log.with_suffix(".1"))
    os.kill(daemon, number)
    until(log.exists, "a new log file")
    terminate(daemon)
    until(lambda: "Server Shut Down." in log.read_text(), "the end of the log in the new file")
    assert "Server Shut Down." not in log.with_suffix(".1").read_text()


def test_sighup_reads_the_settings_again_and_refuses_broken_ones_line_by_line(daemon: int, directory: Path) -> None:
    log = directory.parent / "logs" / "bitbucket.log"
    good = (directory / "settings.yaml").read_text()
    (directory / "settings.yaml").write_text(f"{good}bbWebhookSecret: [unclosed\n")
    os.kill(daemon, signal.SIGHUP)
    until(lambda: "The settings from before count on" in log.read_text(), "the refusal")
    refused = [line for line in log.read_text().splitlines() if "settings.refused" in line]
    assert f"{directory}/settings.yaml:" in refused[0]
    (directory / "settings.yaml").write_text(f"{good}log_level: debug\ndatabase: sqlite:///other.db\n")
    os.kill(daemon, signal.SIGHUP)
    until(lambda: "settings.reloaded" in log.read_text(), "the reload")
    assert "settings.postponed" in log.read_text()
    assert not (directory / "other.db").exists()


def test_systemd_is_told_when_a_reload_begins_and_ends_and_the_log_follows_the_settings(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("notify")
        systemd.settimeout(30)
        process = subprocess.Popen(
            [TWISTD, "-n", "--pidfile=", "--rundir=/", "probo-bitbucket", "-c", "settings.yaml"],
            env=os.environ | {"NOTIFY_SOCKET": f"{directory}/notify"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert systemd.recv(100) == b"READY=1"
        with (directory / "settings.yaml").open("a") as settings:
            settings.write("logFile: {enabled: true}\n")
        process.send_signal(signal.SIGHUP)
        assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.recv(100) == b"READY=1"
        terminate(process.pid)
        shown, _ = process.communicate(timeout=STOP_SECONDS)
    log = (directory.parent / "logs" / "bitbucket.log").read_text()
    assert "settings.postponed" not in shown + log  # relative paths mean what they meant at the start
    assert "Server Shut Down." not in shown
    assert "Server Shut Down." in log


def test_impatience_leaves_no_traceback(directory: Path) -> None:
    process = subprocess.Popen(
        [TWISTD, "-n", "--pidfile=", "probo-bitbucket", "-c", "settings.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    terminate(process.pid)
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if "daemon.stopping" in line:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
    assert process.wait(timeout=STOP_SECONDS) == -signal.SIGTERM
    assert "Server Shut Down." in said[-1]
    assert not [line for line in said if "Traceback" in line]


@pytest.mark.parametrize("options", [["-n"], []])
def test_a_second_daemon_on_the_same_store_is_refused_and_leaves_no_pid_file(
    daemon: int, directory: Path, options: list[str]
) -> None:
    ended = twistd(*options, "--pidfile=second.pid", "--logfile=second.log", "probo-bitbucket", "-c", "settings.yaml")
    assert ended.returncode == 1
    store = f"{directory}/data/probo-bitbucket.db"
    assert f"Cannot open the store: {store} is in use by another daemon, process {daemon}\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (directory / "second.pid").exists()


@pytest.mark.parametrize("options", [["-n"], []])
def test_a_directory_that_cannot_be_made_is_told_in_a_line(directory: Path, options: list[str]) -> None:
    (directory / "data").write_text("a file")
    ended = twistd(*options, "--pidfile=a.pid", "--logfile=a.log", "probo-bitbucket", "-c", "settings.yaml")
    assert ended.returncode == 1
    assert f"Cannot open the store: {directory}/data cannot be made: File exists" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (directory / "a.pid").exists()


def test_in_the_foreground_it_logs_to_standard_output_tells_systemd_and_ends_by_the_signal(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("notify")
        systemd.settimeout(30)
        process = subprocess.Popen(
            [TWISTD, "-n", "--pidfile=", "probo-bitbucket", "-c", "settings.yaml"],
            env=os.environ | {"NOTIFY_SOCKET": f"{directory}/notify"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert systemd.recv(100) == b"READY=1"
        terminate(process.pid)
        assert systemd.recv(100) == b"STOPPING=1"
        log, _ = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == -signal.SIGTERM
    assert "reactor class" in log
    assert "Server Shut Down." in log


def test_with_the_format_bunyan_every_line_is_an_object_from_the_first_to_the_last(directory: Path) -> None:
    with (directory / "settings.yaml").open("a") as settings:
        settings.write("logFormat: bunyan\nlogFile: true\n")
    started = twistd("--pidfile=a.pid", "probo-bitbucket", "-c", "settings.yaml")
    assert started.returncode == 0, started.stderr
    pid = int((directory / "a.pid").read_text())
    terminate(pid)
    log = directory.parent / "logs" / "bitbucket.log"
    until(lambda: "Server Shut Down." in log.read_text(), "the end of the log")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[-1]["pid"] == pid  # the first lines come from before twistd goes into the background
    assert "daemon.listening" in [record["event"] for record in records]


def test_logfile_of_twistd_wins_over_the_settings(directory: Path) -> None:
    with (directory / "settings.yaml").open("a") as settings:
        settings.write("logFile: true\n")
    started = twistd("--pidfile=a.pid", "--logfile=own.log", "probo-bitbucket", "-c", "settings.yaml")
    assert started.returncode == 0, started.stderr
    terminate(int((directory / "a.pid").read_text()))
    until(lambda: "Server Shut Down." in (directory / "own.log").read_text(), "the end of the log")
    assert not (directory.parent / "logs").exists()


@pytest.mark.parametrize("options", [["--syslog"], ["--logfile=-"]])
def test_logs_that_cannot_be_are_refused_in_a_line(directory: Path, options: list[str]) -> None:
    ended = twistd(*options, "probo-bitbucket", "-c", "settings.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith(options[0])
    assert len(ended.stderr.splitlines()) == 1


def test_a_log_file_that_cannot_be_made_is_told_in_a_line(directory: Path) -> None:
    ended = twistd("-n", "--logfile=settings.yaml/own.log", "probo-bitbucket", "-c", "settings.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith("The log cannot be written: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("folder", ["absent", "settings.yaml"])
def test_a_pid_file_that_cannot_be_made_is_told_in_a_line(directory: Path, folder: str) -> None:
    ended = twistd("-n", f"--pidfile={folder}/a.pid", "probo-bitbucket", "-c", "settings.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{directory}/{folder}/a.pid cannot be written: ")
    assert len(ended.stderr.splitlines()) == 1


def test_no_secret_of_the_settings_can_be_logged(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "hide", (secrets := logs.Secrets()).hide)
    monkeypatch.setattr(service, "Handler", lambda settings, reactor: MultiService())
    everywhere = """
bbWebhookSecret: [c4n4ry-webhook-one, c4n4ry-webhook-two]
bbClientKey: not-secret
bbClientSecret: c4n4ry-client-secret
bbAccessToken: c4n4ry-access-token
bbRefreshToken: c4n4ry-refresh-token
database: postgresql://probo:c4n4ry%40password@localhost/probo
"""
    for mode in (
        "api: {url: 'http://localhost:3020', token: c4n4ry-api-token}",
        "api: {url: 'http://localhost:3020'}\n"
        "accounts: [{name: other, repositories: other/*, bbEmail: a@example.com, bbApiToken: c4n4ry-other-token}]",
    ):
        (directory / "secrets.yaml").write_text(everywhere + mode)
        twistd = ServerOptions()
        twistd.parseOptions(["-n", "probo-bitbucket", "-c", "secrets.yaml"])
        tap.makeService(twistd.subOptions)
    for secret in (
        "c4n4ry-webhook-one", "c4n4ry-webhook-two", "c4n4ry-client-secret", "c4n4ry-access-token",
        "c4n4ry-refresh-token", "c4n4ry@password", "c4n4ry%40password",
        "postgresql://probo:c4n4ry%40password@localhost/probo", "c4n4ry-api-token", "c4n4ry-other-token",
    ):  # fmt: skip
        assert secrets.redact(secret) == logs.HIDDEN
    assert secrets.redact("not-secret http://localhost:3020") == "not-secret http://localhost:3020"


def test_parts_that_stop_are_not_waited_for_longer() -> None:
    clock = Clock()
    daemon = Daemon(logs.LineObserver(bytes, "info"), clock)
    Service().setServiceParent(daemon)
    daemon.startService()
    assert daemon.stopService().called
    assert clock.getDelayedCalls() == []


class Stuck(Service):
    """Never stops."""

    def stopService(self) -> Deferred[None]:
        return Deferred()


def test_a_part_that_does_not_stop_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    daemon = Daemon(logs.LineObserver(bytes, "info"), clock)
    Stuck().setServiceParent(daemon)
    daemon.startService()
    with capturedLogs() as events:
        stopped = daemon.stopService()
        clock.advance(STOP_SECONDS - 1)
        assert not stopped.called
        clock.advance(1)
    assert stopped.called
    assert [event["event"] for event in events] == ["daemon.stopping", "daemon.overdue"]


def test_a_daemon_without_its_database_ends_with_words(directory: Path) -> None:
    with (directory / "settings.yaml").open("a") as settings:
        settings.write(f"database: postgresql://nobody@/nothing?host={directory}\n")
    done = twistd("-n", "--pidfile=", "probo-bitbucket", "-c", "settings.yaml")
    assert done.returncode == 1
    assert "Cannot open the store" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_daemon_that_is_older_than_its_store_ends_with_words(directory: Path) -> None:
    path = directory / "probo-bitbucket.db"
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        store.execute("INSERT INTO alembic_version VALUES ('9999')")
    with (directory / "settings.yaml").open("a") as settings:
        settings.write(f"database: sqlite:///{path}\n")
    done = twistd("-n", "--pidfile=", "probo-bitbucket", "-c", "settings.yaml")
    assert done.returncode == 1
    assert "was made by a later version" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
