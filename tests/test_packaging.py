"""What is in the packages, and that Twisted finds the plugin in what they install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from probo_bitbucket import config

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "probo-bitbucket.service"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it."""
    # Built from a copy: setuptools would take files of earlier builds into account, and leaves its own.
    checkout = tmp_path_factory.mktemp("checkout") / "probo-bitbucket"
    unwanted = shutil.ignore_patterns(".venv", ".git", "build", "dist", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    directory = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, checkout]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


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


def test_the_sdist_has_what_packagers_need(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("tests/test_packaging.py", "systemd/probo-bitbucket.service", "etc", "docs", "README.md", "LICENSE"):
        if (ROOT / needed).exists():
            assert needed in names
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


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # What it starts is not installed here.
    unit.write_text(UNIT.read_text().replace("/opt/probo-bitbucket/bin/twistd", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], check=False, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


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
