"""YAML read as js-yaml 3 reads it (`safeLoad`), and written as JSON.stringify would: the value, in Python's own types.

The value is built from the parser's events in one pass, while what it would take as JSON is counted: an alias counts
as much as what it stands for, so a few lines of nested aliases are refused before anything grows.

Refused here although js-yaml takes it: tabs as indentation, keys that are lists, mappings, dates or binary data, keys
of more than 1024 characters, `[a,,b]`, `k: ? x`, control characters in comments, NUL and halves of surrogate pairs.
Read differently: a tab before a line break inside quotes (dropped here), an empty `!!binary` (no bytes here).
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from attrs import frozen
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from probo_bitbucket.probo import js_scalars
from probo_bitbucket.probo.js_scanner import JsParser, restore

LARGEST = 1024 * 1024  # bytes of the value as JSON, every alias written out
DEEPEST = 100  # collections within each other, every alias written out

_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = (None, "!")


class YamlError(Exception):
    """A text that js-yaml would refuse, or that we do. Line and column count from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


def load(text: str) -> Any:
    """Return the one document of *text*, None where there is none. Raises YamlError."""
    reading = _Reading(text)
    try:
        return reading.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or reading.parser.get_mark()
        raise YamlError(_in_words(error), mark.line + 1, mark.column + 1) from error


def _in_words(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    return "a tab cannot indent, use spaces" if r"character '\t'" in problem else problem


@frozen
class _Anchored:
    value: Any
    size: int  # bytes as JSON


class _Reading:
    """One pass over the events of a text."""

    def __init__(self, text: str) -> None:
        try:
            self.parser = JsParser(text)
        except ReaderError as error:
            before = text[: error.position]
            column = error.position - before.rfind("\n")
            raise YamlError(f"U+{error.character:04X} is not allowed", before.count("\n") + 1, column) from error
        self._size = 0
        self._depth = 0
        self._anchors: dict[str, _Anchored | None] = {}

    def document(self) -> Any:
        self._next()  # the stream starts
        if isinstance(self._peek(), StreamEndEvent):
            return None
        self._next()  # the document starts
        start = self._peek()
        value = self._value()
        self._next()  # the document ends
        if not isinstance(self._peek(), StreamEndEvent):
            raise _error(self._peek(), "a second document starts here")
        if _deeper_than(value, DEEPEST):
            raise _error(start, f"aliases nest lists and mappings more than {DEEPEST} deep")
        return value

    def _peek(self) -> Any:
        try:
            return self.parser.peek_event()
        except (ValueError, OverflowError) as error:  # \UFFFFFFFF, %YAML 1.<thousands of digits>
            mark = self.parser.get_mark()
            raise YamlError("there is no such character or number", mark.line + 1, mark.column + 1) from error

    def _next(self) -> Any:
        event = self._peek()
        self.parser.get_event()
        return event

    def _value(self) -> Any:
        node = self._node()
        return node if isinstance(node, (list, dict)) else js_scalars.to_json(node)

    def _node(self) -> Any:
        """Return the next list or mapping, or a scalar as JavaScript has it."""
        event = self._next()
        if isinstance(event, AliasEvent):
            return self._aliased(event)
        before = self._size
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._scalar(event) if isinstance(event, ScalarEvent) else self._collection(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node, self._size - before)
        return node

    def _aliased(self, event: AliasEvent) -> Any:
        name = str(event.anchor)
        if name not in self._anchors:
            raise _error(event, f"there is no anchor &{name[:40]} above")
        anchored = self._anchors[name]
        if anchored is None:
            raise _error(event, f"the anchor &{name[:40]} contains itself")
        self._count(event, anchored.size)
        return anchored.value

    def _count(self, event: Any, size: int) -> None:
        self._size += size
        if self._size > LARGEST:
            raise _error(event, f"with every alias written out the file has more than {LARGEST} bytes")

    def _scalar(self, event: ScalarEvent) -> Any:
        text = _text(event)
        try:
            scalar = _meaning(event, text)
        except js_scalars.ScalarError as error:
            raise _error(event, str(error)) from error
        written = scalar if isinstance(scalar, (list, dict)) else js_scalars.to_json(scalar)
        self._count(event, len(json.dumps(written, ensure_ascii=False).encode()) + 1)
        return scalar

    def _collection(self, event: SequenceStartEvent | MappingStartEvent) -> list[Any] | dict[str, Any]:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _error(event, f"lists and mappings are nested more than {DEEPEST} deep")
        self._count(event, 3)
        node = self._list(event) if isinstance(event, SequenceStartEvent) else self._mapping(event)
        self._depth -= 1
        return node

    def _list(self, event: SequenceStartEvent) -> list[Any]:
        items = []
        while not isinstance(self._peek(), SequenceEndEvent):
            items.append(self._value())
        self._next()
        return _tagged_list(event, items)

    def _mapping(self, event: MappingStartEvent) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: set[str] = set()  # keys that may still be given a value of their own
        while not isinstance(self._peek(), MappingEndEvent):
            self._entry(mapping, merged)
        self._next()
        return _tagged_mapping(event, mapping)

    def _entry(self, mapping: dict[str, Any], merged: set[str]) -> None:
        key_event = self._peek()
        key = self._node()
        value_event = self._peek()
        value = self._value()
        if _asks_to_merge(key_event):
            for source in value if isinstance(value, list) else [value]:
                _merge(value_event, mapping, merged, source)
            return
        name = _name(key_event, key)
        if name in mapping and name not in merged:
            raise _error(key_event, f"duplicated mapping key {name[:40]!r}")
        merged.discard(name)
        mapping[name] = value


def _error(event: Any, problem: str) -> YamlError:
    return YamlError(problem, event.start_mark.line + 1, event.start_mark.column + 1)


def _text(event: ScalarEvent) -> str:
    try:
        text = restore(event.value).encode("utf-16-le", "surrogatepass").decode("utf-16-le")  # joins "\ud83d\ude00"
    except UnicodeDecodeError as error:
        raise _error(event, "half a surrogate pair is not a character") from error
    if "\0" in text:
        raise _error(event, "a NUL character is not allowed")
    return text


def _meaning(event: ScalarEvent, text: str) -> Any:
    is_plain = event.style is None
    if event.tag in _COLLECTION_TAGS:
        if not is_plain or (event.tag == "!" and text):
            return text
        return js_scalars.plain(text) if text else None
    tag = event.tag.removeprefix(_TAG)
    if event.tag == tag:
        raise js_scalars.ScalarError(f"unknown tag {event.tag[:40]}")
    if is_plain and not text and tag in _EMPTY:
        return _EMPTY[tag]()
    return js_scalars.tagged(tag, text)


# What a tag makes of nothing at all.
_EMPTY: dict[str, type] = {
    "null": type(None),
    "seq": list,
    "omap": list,
    "pairs": list,
    "map": dict,
    "set": dict,
}


def _tagged_list(event: SequenceStartEvent, items: list[Any]) -> list[Any]:
    if event.tag in (*_COLLECTION_TAGS, f"{_TAG}seq"):
        return items
    single = all(isinstance(item, dict) and len(item) == 1 for item in items)
    if event.tag == f"{_TAG}pairs" and single:
        return [list(pair) for item in items for pair in item.items()]
    if event.tag == f"{_TAG}omap" and single and len({key for item in items for key in item}) == len(items):
        return items
    raise _error(event, f"a list cannot be {event.tag[:40]}")


def _tagged_mapping(event: MappingStartEvent, mapping: dict[str, Any]) -> dict[str, Any]:
    if event.tag in (*_COLLECTION_TAGS, f"{_TAG}map"):
        return mapping
    if event.tag == f"{_TAG}set" and all(value is None for value in mapping.values()):
        return mapping
    raise _error(event, f"a mapping cannot be {event.tag[:40]}")


def _asks_to_merge(event: Any) -> bool:
    if not isinstance(event, ScalarEvent) or event.value != "<<":
        return False
    return event.tag == f"{_TAG}merge" or (event.tag is None and event.style is None)


def _merge(event: Any, mapping: dict[str, Any], merged: set[str], source: Any) -> None:
    if not isinstance(source, dict):
        raise _error(event, "only a mapping, or a list of mappings, can be merged with <<")
    added = source.keys() - mapping.keys()
    mapping.update({key: source[key] for key in source if key in added})
    merged |= added


def _name(event: Any, key: Any) -> str:
    if isinstance(key, (list, dict)):
        raise _error(event, "a list or a mapping cannot be a key")
    try:
        return js_scalars.property_name(key)
    except js_scalars.ScalarError as error:
        raise _error(event, str(error)) from error


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
