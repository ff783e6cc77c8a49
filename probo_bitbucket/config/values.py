"""From what was given for a key to its value, and in plain words why that cannot be done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from probo_bitbucket.config import types
from probo_bitbucket.config.keys import Key
from probo_bitbucket.config.privacy import how_to_close
from probo_bitbucket.config.written import Findings, Given, Shape, Written

_PLACEHOLDER = re.compile(r"\{[A-Z][A-Z0-9_]*\}|<[^<>]*>")
# Of a secret only: what our own documents show in place of one.
_EXAMPLE = re.compile("[.…*]+|.*:…@.*|a[ -]long[ -]random[ -]text|(access|API) token|token of the coordinator")
SHORT = 8  # characters; secrets of fewer are warned about and not refused, for the Node handlers took them
_CREDENTIALS = re.compile(r"(?:%d|\$\{CREDENTIALS_DIRECTORY\})/(.*)")

_TOO_SHORT = f"has fewer than {SHORT} characters: it is cut off, or easily guessed"


class _UnusableError(Exception):
    """A value that cannot be used: what is wrong with it, without the value of a secret."""


class _ElsewhereError(_UnusableError):
    """A secret that systemd gives to the daemon, where this is another process."""


@frozen
class Reader:
    """Reads values and collects what is wrong with them."""

    environ: Mapping[str, str]
    findings: Findings

    def value(self, key: Key, given: Given | None, home: str) -> Any:
        """The value of *key*, or its default where nothing was given or it is wrong.

        *home* begins the message that a required key is not there.
        """
        values = tuple(self._part(key, given, part) for part in _parts(key, given.written)) if given else ()
        if values:
            return values if key.many else values[0]
        if key.required:
            self._problem(given.where() if given else f"{home}{key.name}", f"is missing: {key.help}")
        return key.default_value

    def _part(self, key: Key, given: Given, part: Written) -> object:
        try:
            contents = self._contents(part) if given.in_file else part
            value = _parsed(key, contents)
        except _UnusableError as unusable:
            self._problem(given.where(part), str(unusable))
            if isinstance(unusable, _ElsewhereError):
                self.findings.elsewhere.append(self.findings.problems[-1])
            return key.default_value
        if key.secret and len(contents.text) < SHORT:
            self.findings.warnings.append(f"{given.where(part)}: {_TOO_SHORT}")
        return value

    def _contents(self, written: Written) -> Written:
        """The secret in a file, without the line end that editors put behind it."""
        path = self._secret_path(written)
        try:
            text = path.read_bytes().decode()
            command = how_to_close(path)
        except OSError as error:
            raise _UnusableError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _UnusableError(f"{path} is not UTF-8") from None
        if command and not self._is_credential(path):
            self.findings.warnings.append(f"{path}: holds a secret and is open to other users; run: {command}")
        return Written(written.place, Shape.TEXT, re.sub(r"\r?\n\Z", "", text))

    def _secret_path(self, written: Written) -> Path:
        if written.shape is not Shape.TEXT or not written.text.isprintable():
            raise _UnusableError(f"{written.shape.value} came; the name of a file that holds the value is expected")
        credential = _CREDENTIALS.fullmatch(written.text)
        if not credential:
            return written.directory / written.text
        if not self.environ.get("CREDENTIALS_DIRECTORY"):
            raise _ElsewhereError(
                "CREDENTIALS_DIRECTORY is not set; systemd sets it where the unit has LoadCredential="
            )
        return Path(self.environ["CREDENTIALS_DIRECTORY"], credential.group(1))

    def _is_credential(self, path: Path) -> bool:
        """Whether systemd laid the file out, for this unit alone and with a mode of its own choice."""
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        return bool(directory) and path.is_relative_to(str(directory))

    def _problem(self, where: str, what: str) -> None:
        self.findings.problems.append(f"{where}: {what}")


def _parts(key: Key, written: Written) -> tuple[Written, ...]:
    if written.empty:
        return ()
    return written.items if key.many and written.shape is Shape.LIST else (written,)


def _parsed(key: Key, written: Written) -> object:
    if _is_placeholder(written) or (key.secret and _EXAMPLE.fullmatch(written.text)):
        raise _UnusableError("is still the placeholder of an example; put your own value there")
    if written.shape is Shape.FLAG and key.type is not types.FLAG:
        raise _UnusableError(f"true or false came; {key.type.expects} is expected (text goes into quotes)")
    if written.shape not in (Shape.TEXT, Shape.FLAG):
        raise _UnusableError(f"{written.shape.value} came; {key.type.expects} is expected")
    try:
        return key.type.parse(written.text)
    except ValueError:
        raise _UnusableError(f"{_quoted(key, written.text)} came; {key.type.expects} is expected") from None


def _is_placeholder(written: Written) -> bool:
    """`{BITBUCKET_CLIENT_KEY}` without quotes is a mapping to YAML."""
    if len(written.entries) == 1:
        name, value = written.entries[0]
        return value.empty and _PLACEHOLDER.fullmatch(f"{{{name}}}") is not None
    return _PLACEHOLDER.fullmatch(written.text) is not None


def _quoted(key: Key, text: str) -> str:
    # A URL can carry a password before its @.
    return "a value that is not shown here" if key.secret or "@" in text else repr(text[:60])
