"""Reading YAML as js-yaml does. `js_yaml.json` holds what js-yaml 3.14.2 made of each text.

Each row is a text and JSON.stringify(safeLoad(text)), or the text alone where js-yaml refuses it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket.probo import js_yaml
from probo_bitbucket.probo.js_yaml import YamlError, load

ROWS = json.loads(Path(__file__).with_name("js_yaml.json").read_text())

text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53) | text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(text, children, max_size=4),
    max_leaves=20,
)


def as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 2], ids=lambda row: repr(row[0])[:60])
def test_reads_what_js_yaml_reads(row: list[Any]) -> None:
    assert as_json(load(row[0])) == as_json(row[1])


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 1], ids=lambda row: repr(row[0])[:60])
def test_refuses_what_js_yaml_refuses(row: list[Any]) -> None:
    with pytest.raises(YamlError):
        load(row[0])


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        ("\ta: 1", "a tab cannot indent"),
        ("a:\n\tb: 1", "a tab cannot indent"),
        ("2001-12-14: a", "put it into quotes"),
        ("{!!binary aGVsbG8=: 1}", "put it into quotes"),
        ("[a]: 1", "cannot be a key"),
        ("{a: b}: 1", "cannot be a key"),
        ("[a,,b]", "expected the node content"),
        ("k: ?", "mapping keys are not allowed"),
        (r'a: "\0"', "a NUL character"),
        (r'a: "\ud800"', "surrogate"),
        (r'a: "\U00110000"', "no such character"),
        ("# \x07\na: 1", r"U\+0007 is not allowed"),
        (f"{'a' * 2000}: 1", "mapping values are not allowed"),
        ("a: &a [*a]", "contains itself"),
        ("a: 9999-99-01", "beyond the year 9999"),
    ],
)
def test_refuses_more_than_js_yaml(yaml: str, problem: str) -> None:
    with pytest.raises(YamlError, match=problem):
        load(yaml)


def test_a_problem_has_the_line_and_column_an_editor_shows() -> None:
    with pytest.raises(YamlError) as caught:
        load("a: 1\nb: 2\n  c: 3\n")
    assert (caught.value.line, caught.value.column) == (3, 4)


@given(st.dictionaries(text, documents))
def test_json_reads_back_as_it_is(document: dict[str, Any]) -> None:
    assert load(json.dumps(document, ensure_ascii=False)) == document


@given(st.floats())
def test_a_number_is_written_with_the_digits_of_javascript(number: float) -> None:
    read = load(f"a: {number!r}".replace("inf", ".inf").replace("nan", ".nan"))["a"]
    assert float(read) == number if math.isfinite(number) else read is None


def test_integers_lose_what_javascript_cannot_hold() -> None:
    assert load("a: 12345678901234567890") == {"a": 12345678901234567000}


def test_a_list_of_aliases_of_aliases_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(YamlError, match="with every alias written out"):
        load("\n".join(lines))


def test_merges_of_merges_are_refused_before_they_grow() -> None:
    lines = ["m0: &m0 {k0: 1}", *(f"m{n}: &m{n} {{<<: *m{n - 1}, k{n}: 1}}" for n in range(1, 5000))]
    with pytest.raises(YamlError, match="with every alias written out"):
        load("\n".join(lines))


def test_the_largest_value_is_counted_as_json() -> None:
    assert load("a: " + "x" * (js_yaml.LARGEST - 100))
    with pytest.raises(YamlError, match="with every alias written out"):
        load("a: " + "x" * js_yaml.LARGEST)


@pytest.mark.parametrize("opening", ["[", "[\n", "- ", "{a: ", "? "])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(YamlError, match="nested more than"):
        load(opening * 5000)


def test_deep_nesting_by_aliases_is_refused() -> None:
    lines = ["- &a0 [x]", *(f"- &a{n} [*a{n - 1}]" for n in range(1, 120))]
    with pytest.raises(YamlError, match="nest lists and mappings more than"):
        load("\n".join(lines))


def test_nesting_up_to_the_limit_is_read() -> None:
    assert load("[" * js_yaml.DEEPEST + "]" * js_yaml.DEEPEST)
