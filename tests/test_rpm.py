"""The RPM, built from the sdist with all libraries: what is in it, who may read it, and that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from probo_bitbucket import __version__
from tests.needs import needs

ROOT = Path(__file__).parent.parent
HOME = "/opt/probo-bitbucket"

pytestmark = needs("rpmbuild")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rpm(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("rpm")
    places = {"_topdir": top, "_sourcedir": dist, "_rpmdir": top, "python": sys.executable}
    defined = [part for name, value in places.items() for part in ("--define", f"{name} {value}")]
    # Without the packages of the distribution that has rpmbuild, which need not be one of those that the RPM is for.
    run("rpmbuild", "-bb", "--nodeps", *defined, ROOT / "packaging" / "probo-bitbucket.spec")
    (built,) = top.rglob("*.rpm")
    return built


@pytest.fixture(scope="module")
def tree(rpm: Path) -> Path:
    """The files of the package, unpacked."""
    run("rpm2archive", "--nocompression", rpm)
    (archive,) = rpm.parent.glob("*.tar")
    with tarfile.open(archive) as files:
        files.extractall(rpm.parent / "tree", filter="tar")
    return rpm.parent / "tree"


def test_it_has_the_version_of_the_program(rpm: Path) -> None:
    assert run("rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{LICENSE}", rpm) == (
        f"probo-bitbucket {__version__.replace('.dev', '~dev')} Apache-2.0"
    )


def test_settings_are_kept_and_secrets_are_readable_by_few(rpm: Path) -> None:
    form = "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]"
    files = dict(line.split(" ", 1) for line in run("rpm", "-qp", "--qf", form, rpm).splitlines())
    etc = {path.removeprefix("/etc/"): told for path, told in files.items() if path.startswith("/etc/")}
    assert etc == {
        "logrotate.d/probo-bitbucket": "-rw-r--r-- root:root cn",
        "probo-bitbucket": "drwxr-x--- root:probo-bitbucket ",
        "probo-bitbucket/probo-bitbucket.yaml": "-rw-r----- root:probo-bitbucket cn",
        "probo-bitbucket/secrets": "drwx------ root:root ",
        "sysconfig/probo-bitbucket": "-rw------- root:root cn",
    }
    assert {
        "/usr/bin/probo-bitbucket",
        "/usr/lib/firewalld/services/probo-bitbucket.xml",
        "/usr/lib/systemd/system/probo-bitbucket.service",
        "/usr/lib/systemd/system/probo-bitbucket.socket",
        "/usr/lib/sysusers.d/probo-bitbucket.conf",
        "/usr/share/man/man1/probo-bitbucket.1",
        "/usr/share/man/man5/probo-bitbucket.yaml.5",
        f"{HOME}/bin/twistd",
    } <= set(files)
    program = [told for path, told in files.items() if path.startswith(HOME) and not told.startswith("l")]
    assert [told for told in program if told[5] == "w" or told[8] == "w" or "root:root" not in told] == []


def test_the_user_is_there_before_the_files_that_belong_to_it(rpm: Path) -> None:
    (user,) = [line for line in (ROOT / "systemd/probo-bitbucket.sysusers").read_text().splitlines() if line[0] == "u"]
    assert user in run("rpm", "-qp", "--scripts", rpm)
    provided = run("rpm", "-qp", "--provides", rpm).split("\n")
    assert {"user(probo-bitbucket)", "group(probo-bitbucket)"} <= set(provided)
    assert "pre systemd" in run("rpm", "-qp", "--qf", "[%{REQUIREFLAGS:deptype} %{REQUIRENAME}\n]", rpm).split("\n")


def test_nothing_in_it_leads_to_where_it_was_built(tree: Path) -> None:
    places = (b"BUILDROOT", str(tree.parent).encode())
    found = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in found if any(place in path.read_bytes() for place in places)] == []
    assert (tree / HOME[1:] / "bin/twistd").read_text().startswith(f"#!{HOME}/bin/python\n")


def test_it_starts_with_the_settings_that_are_in_it(tree: Path, tmp_path: Path) -> None:
    home = tree / HOME[1:]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= {"PROBO_BITBUCKET_PORT": "0", "PROBO_BITBUCKET_DATA_DIR": str(tmp_path)}
    settings = tree / "etc/probo-bitbucket/probo-bitbucket.yaml"
    command: list[str | Path] = [home / "bin/python", home / "bin/twistd", "-n", "--pidfile=", "probo-bitbucket"]
    process = subprocess.Popen([*command, "-c", settings], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert any("daemon.listening" in line for line in process.stdout)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
