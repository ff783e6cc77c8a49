"""What is in the packages, and that Twisted finds the plugin in what they install."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from probo_bitbucket import config
from probo_bitbucket.config.secrets import secrets_of
from tests.needs import needs

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "probo-bitbucket.service"
SOCKET = UNIT.with_suffix(".socket")


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def test_the_wheel_has_one_file_under_twisted(wheel: Path) -> None:
    """An `__init__.py` there would overwrite Twisted's own, and take it along when it is uninstalled."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if name.startswith("twisted/")] == ["twisted/plugins/probo_bitbucket_plugin.py"]
    assert {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in names} == {
        "probo_bitbucket",
        "twisted",
    }


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "probo_bitbucket").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        assert package - set(archive.namelist()) == set()


def test_the_wheel_installs_the_man_pages(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        installed = {name.partition(".data/data/")[2] for name in archive.namelist()}
    assert {"share/man/man1/probo-bitbucket.1", "share/man/man5/probo-bitbucket.yaml.5"} < installed


def test_the_sdist_has_what_packagers_need(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("tests/test_packaging.py", "systemd/probo-bitbucket.service", "packaging/probo-bitbucket.spec"):
        assert needed in names
    assert {"etc", "docs", "README.md", "LICENSE", "Containerfile", ".dockerignore", "Makefile"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith("dropin.cache")]


def test_twistd_lists_the_plugin_of_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "fresh", with_pip=False)
    python = tmp_path / "fresh" / "bin" / "python"
    fresh = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    # The dependencies of this environment, without its .pth files, which could lead to the checkout.
    (fresh / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        fresh,
        wheel,
    ]
    subprocess.run(install, check=True)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = "import sys; from twisted.scripts.twistd import run; sys.argv = ['twistd', '--help']; run()"
    shown = subprocess.check_output([python, "-c", run], cwd=tmp_path, env=environ, text=True)
    assert "probo-bitbucket" in shown


needs_systemd = needs("systemd-analyze")


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    unit, port = tmp_path / UNIT.name, tmp_path / SOCKET.name
    # What it starts is not installed here.
    unit.write_text(UNIT.read_text().replace("/opt/probo-bitbucket/bin/twistd", "/bin/true"))
    port.write_text(SOCKET.read_text())
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit, port], check=False, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def lines(path: Path) -> list[str]:
    """What a file of ours sets: every line but comments and sections."""
    return [line for line in path.read_text().splitlines() if line and line[0] not in "#[;"]


def test_the_unit_gives_up_where_the_settings_are_wrong_and_reloads_by_sighup() -> None:
    assert f"RestartPreventExitStatus={os.EX_CONFIG}" in lines(UNIT)
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines(UNIT)


def test_a_secret_in_the_units_directory_is_named_as_the_unit_says(tmp_path: Path) -> None:
    """systemd names the files of a directory by the credential's name, an underscore and their own."""
    (credential,) = [line.partition("=")[2] for line in lines(UNIT) if line.startswith("LoadCredential=")]
    (tmp_path / f"{credential.partition(':')[0]}_client-secret").write_text("c4n4ry-consumers-secret\n")
    (written,) = [line.removeprefix("# ") for line in UNIT.read_text().splitlines() if line.startswith("# bbClient")]
    (tmp_path / "settings.yaml").write_text(f"{written}\nbbClientKey: key\napi: {{url: 'http://cm:3020'}}\n")
    settings = config.load([tmp_path / "settings.yaml"], {"CREDENTIALS_DIRECTORY": str(tmp_path)}, {})
    assert "c4n4ry-consumers-secret" in secrets_of(settings)
    assert f"# {written}" in (ROOT / "etc" / "probo-bitbucket.yaml").read_text().splitlines()


def test_the_port_is_the_same_everywhere() -> None:
    port = next(key.default for key in config.KEYS if key.name == "port")
    service = ElementTree.parse(ROOT / "etc" / "firewalld" / "services" / "probo-bitbucket.xml").getroot()  # noqa: S314
    assert [each.attrib for each in service.iter("port")] == [{"protocol": "tcp", "port": port}]
    assert f"ListenStream={port}" in lines(SOCKET)
    assert f"EXPOSE {port}" in (ROOT / "Containerfile").read_text().splitlines()


def test_the_environment_file_names_variables_that_the_settings_know(tmp_path: Path) -> None:
    text = (ROOT / "etc" / "sysconfig" / "probo-bitbucket").read_text()
    given = dict(re.findall(r"^(?:# )?(PROBO_BITBUCKET_\w+)=(.*)$", text, re.MULTILINE))
    assert len(given) == 2
    settings = config.load([], {**given, "PROBO_BITBUCKET_API_URL": "http://cm:3020"}, {})
    assert settings.log_file_enabled
    assert not settings.log_file_period  # that is logrotate's business


@needs("logrotate")
def test_logrotate_turns_over_the_log_that_the_unit_names(tmp_path: Path) -> None:
    (path,) = [line.rpartition("=")[2] for line in lines(UNIT) if "LOG_FILE_PATH" in line]
    log = tmp_path / Path(path).name
    log.write_text("a line\n")
    tmp_path.chmod(0o755)
    me = f"su {getpwuid(os.getuid()).pw_name} {getgrgid(os.getgid()).gr_name}"
    text = (ROOT / "etc" / "logrotate.d" / "probo-bitbucket").read_text()
    text = text.replace("su probo-bitbucket probo-bitbucket", me)
    (tmp_path / "conf").write_text(text.replace(str(Path(path.replace("%L", "/var/log")).parent), str(tmp_path)))
    command: list[str | Path] = ["logrotate", "--force", "--state", tmp_path / "state", tmp_path / "conf"]
    turned = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (turned.returncode, turned.stderr) == (0, "")
    assert not log.exists()
    assert (tmp_path / f"{log.name}.1").read_text() == "a line\n"


def test_the_unit_leaves_what_the_metrics_of_the_process_are_read_from() -> None:
    """prometheus_client makes none of them where it cannot read /proc/stat, which this hides."""
    assert not [line for line in lines(UNIT) if line.startswith("ProcSubset=")]


@pytest.mark.parametrize("text", ["docs/install.md", "Containerfile"])
def test_a_container_is_shown_with_loopback_let_in(text: str) -> None:
    """Its health check comes from there."""
    (given,) = re.findall("-e PROBO_BITBUCKET_INTERNAL_ACCESS='(.*)'", (ROOT / text).read_text())
    environ = {"PROBO_BITBUCKET_INTERNAL_ACCESS": given, "PROBO_BITBUCKET_API_URL": "http://cm:3020"}
    assert {"127.0.0.0/8", "::1/128"} < {str(network) for network in config.load([], environ, {}).internal_access}


def test_the_unit_sets_variables_that_the_settings_know() -> None:
    known = {form.variable for key in config.KEYS for form in key.forms}
    assignments = [line for line in UNIT.read_text().splitlines() if line.startswith("Environment=")]
    assert assignments
    assert {line.split("=")[1] for line in assignments} <= known


@needs_systemd
def test_the_unit_is_hardened() -> None:
    threshold: list[str | Path] = ["systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT]
    checked = subprocess.run(threshold, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
