"""The signature of a webhook."""

from __future__ import annotations

import pytest

from probo_bitbucket.bitbucket.signature import sign, verify

SECRET = "It's a Secret to Everybody"
BODY = b"Hello World!"
SIGNATURE = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"


def test_atlassians_own_example_is_made_and_accepted() -> None:
    assert sign(SECRET, BODY) == SIGNATURE
    assert verify([SECRET], BODY, SIGNATURE)


def test_any_of_several_secrets_will_do() -> None:
    assert verify(["new", SECRET], BODY, SIGNATURE)
    assert verify([SECRET, "new"], BODY, SIGNATURE)


def test_the_key_is_the_secret_in_utf8() -> None:
    assert verify(["Schlüssel"], BODY, sign("Schlüssel", BODY))


@pytest.mark.parametrize(
    "header",
    [None, "", "sha256=", SIGNATURE[:-1], SIGNATURE.removeprefix("sha256="), "sha1=" + "0" * 40, "sha256=ü", "\udcff"],
)
def test_anything_else_is_refused(header: str | None) -> None:
    assert not verify([SECRET], BODY, header)


def test_another_body_or_secret_is_refused() -> None:
    assert not verify([SECRET], BODY + b" ", SIGNATURE)
    assert not verify(["another"], BODY, SIGNATURE)


def test_without_secrets_nothing_is_accepted() -> None:
    assert not verify([], BODY, SIGNATURE)


def test_an_empty_secret_accepts_nothing() -> None:
    assert not verify([""], BODY, sign("", BODY))
