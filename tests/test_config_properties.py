"""Whatever a settings file holds, reading it gives settings or readable problems."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket import config

pytestmark = pytest.mark.silent_secret("hypothesis makes them up")

LEAVES = [key.name.rpartition(".")[2] for key in config.KEYS]
names = st.sampled_from([*LEAVES, "api", "logFile", "name", "repositories", "bbApiTokenFile", "auth", "<<"]) | st.text()
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary()
    | st.sampled_from(["http://[", "http://a:99999999", "sqlite:///", "postgresql://[", "1d", "{A}", "%d/x", "/"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def check(text: bytes, environ: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s.yaml")
        path.write_bytes(text)
        try:
            settings = config.load([path], environ, {})
        except config.SettingsError as error:
            assert error.problems
            assert str(error).splitlines() == list(error.problems)
        else:
            assert settings.api_url.startswith(("http://", "https://"))


@given(st.dictionaries(names, values, max_size=6))
def test_any_mapping_gives_settings_or_problems(mapping: dict[str, object]) -> None:
    check(yaml.safe_dump(mapping, allow_unicode=True).encode(errors="surrogatepass"), {})


@given(st.binary(max_size=200) | st.text("{}[]&*!|>'\"%@`:-?,# \nab1~\\U", max_size=80).map(str.encode))
def test_any_bytes_give_settings_or_problems(text: bytes) -> None:
    check(text, {"PROBO_BITBUCKET_API_URL": "http://cm:3020"})


@given(st.sampled_from([form.variable for key in config.KEYS for form in key.forms]), st.text())
def test_any_environment_gives_settings_or_problems(name: str, value: str) -> None:
    check(b"", {"PROBO_BITBUCKET_API_URL": "http://cm:3020"} | {name: value})
