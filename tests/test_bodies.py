"""JSON bodies, and what is said of bad ones."""

from __future__ import annotations

import pytest
from msgspec import Struct

from probo_bitbucket.bodies import BodyError, clean, decode


class Leaf(Struct):
    number: int
    text: str | None = None


class Tree(Struct):
    leaf: Leaf | None = None
    leaves: list[Leaf] = []


class TreeError(BodyError):
    pass


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON: Input data was truncated"),
        (b"{} x", "the body is not JSON: trailing characters (byte 4)"),
        (b"\xff", "the body is not UTF-8 (byte 0)"),
        (b'{"ignored": "\xff"}', "the body is not UTF-8 (byte 13)"),
        (b"[]", "the body must be an object, not a list"),
        (b"null", "the body must be an object, not null"),
        (b'{"leaf": {}}', "`leaf.number` is missing"),
        (b'{"leaf": {"number": "1"}}', "`leaf.number` must be a whole number, not text"),
        (b'{"leaf": {"number": true}}', "`leaf.number` must be a whole number, not true or false"),
        (b'{"leaf": {"number": 1, "text": {}}}', "`leaf.text` must be text or null, not an object"),
        (b'{"leaves": [{"number": 1}, {}]}', "`leaves[1].number` is missing"),
        (b'{"leaf": {"number": ' + b"1" * 5_000 + b"}}", "`leaf.number`: Integer value out of range"),
        (b'{"ignored": ' + b"[" * 100_000 + b"}", "the body is nested too deeply"),
    ],
)
def test_a_bad_body_is_refused_in_words_that_name_the_path(body: bytes, message: str) -> None:
    with pytest.raises(TreeError) as refused:
        decode(body, Tree, TreeError)
    assert str(refused.value) == message


@pytest.mark.parametrize("half", [rb"\ud800", rb"\udc00", rb"\ud800 and more text", rb"\ud800\u0041"])
@pytest.mark.parametrize("field", [b"text", b"ignored"])
def test_half_a_surrogate_pair_is_refused(half: bytes, field: bytes) -> None:
    with pytest.raises(TreeError, match="not JSON"):
        decode(b'{"leaf": {"number": 1, "%s": "%s"}}' % (field, half), Tree, TreeError)


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"leaf": {"number": 1, "more": []}, "more": 1}', Tree, TreeError) == Tree(leaf=Leaf(1))


def test_clean_takes_out_nul_cuts_and_knows_none() -> None:
    assert clean("a\0b", 10) == "ab"
    assert clean("\0abc", 2) == "ab"
    assert clean(None, 2) == ""
