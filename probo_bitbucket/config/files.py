"""Settings files: YAML, read as text with line numbers, so that messages can say where and values lose nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from attrs import Factory, define

from probo_bitbucket.config.keys import ACCOUNT_KEYS, KEYS
from probo_bitbucket.config.privacy import how_to_close
from probo_bitbucket.config.written import Findings, Shape, Written

_STANDARD_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "seq", "map")
}
_SECRETS = {form.leaf for key in (*KEYS, *ACCOUNT_KEYS) if key.secret for form in key.forms if not form.in_file}


def settings_files(paths: Sequence[Path], findings: Findings) -> Iterator[Path]:
    """The files to read, in order: a directory stands for its *.yaml and *.yml files by name."""
    for path in paths:
        try:
            names = sorted(path.iterdir()) if path.is_dir() else None
        except OSError as error:
            findings.problems.append(f"{path}: cannot be read: {error.strerror}")
            continue
        yield from [path] if names is None else (name for name in names if name.suffix in (".yaml", ".yml"))


def read_settings_file(path: Path, findings: Findings) -> Written | None:
    """The mapping that a file holds; None where it holds nothing, or nothing that can be read."""
    try:
        root = _Composition(path, findings).compose(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        findings.problems.append(f"{path}: cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        findings.problems.append(f"{path}:{line}: is not UTF-8; save the file in that encoding")
        return None
    if root.shape is Shape.MAPPING:
        _warn_of_secrets(path, root, findings)
        return root
    if not root.empty:
        findings.problems.append(f"{root.place}: {root.shape.value} came; a mapping (`key: value` lines) is expected")
    return None


def _warn_of_secrets(path: Path, root: Written, findings: Findings) -> None:
    values = [value for _, value in root.entries]
    mappings = [root, *values, *(item for value in values for item in value.items)]
    secrets = [name for mapping in mappings for name, value in mapping.entries if name in _SECRETS and not value.empty]
    if secrets and (command := how_to_close(path)):
        findings.warnings.append(f"{path}: holds {secrets[0]} and is open to other users; run: {command}")


@define(eq=False)
class _Composition:
    """Turns one file's YAML nodes into Written values."""

    path: Path
    findings: Findings
    _done: dict[yaml.Node, Written | None] = Factory(dict)

    def compose(self, text: str) -> Written:
        nothing = Written(str(self.path), Shape.NOTHING)
        try:
            node = yaml.SafeLoader(text).get_single_node()
            return nothing if node is None else self._written(node)
        except yaml.YAMLError as error:
            self.findings.problems.append(f"{self.path}{_yaml_problem(error)}")
        except (ValueError, OverflowError):
            # PyYAML lets these through: "\UFFFFFFFF" is no character.
            self.findings.problems.append(f"{self.path}: is not YAML: an escape or number in it is out of range")
        except RecursionError:
            self.findings.problems.append(f"{self.path}: is nested too deeply")
        return nothing

    def _written(self, node: yaml.Node) -> Written:
        """Each node is turned once, however many aliases name it: nested aliases must not multiply."""
        if node not in self._done:
            self._done[node] = None
            self._done[node] = self._turn(node)
        written = self._done[node]
        if written is None:
            self._problem(node, "the alias stands inside of what it names; write the value out")
            return Written(self._place(node), Shape.NOTHING)
        return written

    def _turn(self, node: yaml.Node) -> Written:
        if node.tag not in _STANDARD_TAGS:
            # The tag is not quoted: it is the start of a secret where the quotes were forgotten.
            self._problem(node, "starts with !, which makes it a YAML tag; put the value into quotes")
            return Written(self._place(node), Shape.NOTHING)
        place, directory = self._place(node), self.path.parent
        if isinstance(node, yaml.MappingNode):
            return Written(place, Shape.MAPPING, entries=tuple(self._entries(node)), directory=directory)
        if isinstance(node, yaml.SequenceNode):
            return Written(place, Shape.LIST, items=tuple(map(self._written, node.value)), directory=directory)
        return Written(place, _scalar_shape(node), node.value, directory=directory)

    def _entries(self, node: yaml.MappingNode) -> Iterator[tuple[str, Written]]:
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, "a key that is not text; put {{ … }} into quotes")
            elif key.value in lines:
                self._problem(key, f"{key.value[:80]!r} is here twice, first in line {lines[key.value]}; remove one")
            else:
                lines[key.value] = key.start_mark.line + 1
                yield key.value, self._at_key(key, self._written(value))

    def _at_key(self, key: yaml.Node, value: Written) -> Written:
        """A value behind an alias, or below its key, is looked for at its key."""
        return Written(self._place(key), value.shape, value.text, value.items, value.entries, value.directory)

    def _place(self, node: yaml.Node) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def _problem(self, node: yaml.Node, what: str) -> None:
        self.findings.problems.append(f"{self._place(node)}: {what}")


def _scalar_shape(node: yaml.Node) -> Shape:
    if node.tag.endswith(":null"):
        return Shape.NOTHING
    # `yes` and `on` are text, as they were to the Node handlers.
    if node.tag.endswith(":bool") and node.value.lower() in ("true", "false"):
        return Shape.FLAG
    return Shape.TEXT


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Line, column and reason. Words that PyYAML quotes from the file are left out: they can be a secret's."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        reason = re.sub(r" '[^'<]{2,}'", "", error.problem or "")
        return f":{mark.line + 1}:{mark.column + 1}: is not YAML: {reason}"
    return ": is not YAML: it holds a control character"
