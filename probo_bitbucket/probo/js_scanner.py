"""PyYAML's scanner and parser, taught to take what js-yaml 3 takes.

The differences that occur in files people write: js-yaml lets tabs separate (not indent), `?` and `:` stand inside
plain texts of flow collections, and anchors have any name; and it takes U+0085, U+2028 and U+2029 for text, not for
line breaks. PyYAML hard-codes the latter, so stand-ins keep their places while the text is scanned.
"""

from __future__ import annotations

import re
from typing import Any

from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner, ScannerError
from yaml.tokens import AliasToken, AnchorToken, ScalarToken

_STAND_INS = {"\x85": "\U0001fffe", "\u2028": "\U0001ffff", "\u2029": "\U0002fffe"}  # never characters of any text
_HIDE = str.maketrans(_STAND_INS)
_RESTORE = str.maketrans({stand_in: character for character, stand_in in _STAND_INS.items()})

_SPACE = "\0 \t\r\n"
_FLOW = ",[]{}"
_BLANKS = re.compile(r"[ \t]*")
_REST_IS_BLANK = re.compile(r"[ \t]*[\0\r\n#]")
_NAME = re.compile(r"[^\0 \t\r\n,\[\]{}]*")
_PLAIN_IN_BLOCK = re.compile(r"(?:[^\0 \t\r\n:]|:(?![\0 \t\r\n]))*")
_PLAIN_IN_FLOW = re.compile(r"(?:[^\0 \t\r\n,\[\]{}:]|:(?![\0 \t\r\n,\[\]{}]))*")


def restore(text: str) -> str:
    """Put the line breaks of Unicode back into a scalar's text."""
    return text.translate(_RESTORE)


class JsParser(Reader, Scanner, Parser):
    """Parses a text to PyYAML's events. Any call may raise `yaml.YAMLError`, or ValueError for an impossible escape."""

    def __init__(self, text: str) -> None:
        ended = text if text.endswith(("\n", "\r")) else f"{text}\n"  # block scalars keep it
        Reader.__init__(self, ended.translate(_HIDE))
        Scanner.__init__(self)
        Parser.__init__(self)

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and self._tab_separates():
            self._take(_BLANKS)
            super().scan_to_next_token()

    def _tab_separates(self) -> bool:
        line_so_far = self.buffer[self.pointer - self.column : self.pointer]
        return bool(self.flow_level or line_so_far.strip() or _REST_IS_BLANK.match(self.buffer, self.pointer))

    def check_key(self) -> bool:
        return self.peek(1) in _SPACE

    def check_value(self) -> bool:
        follows_key = self.flow_level > 0 and self.flow_level in self.possible_simple_keys
        return follows_key or self.peek(1) in self._ends_plain()

    def check_plain(self) -> bool:
        if self.peek() in "-?:":
            return self.peek(1) not in self._ends_plain()
        return self.peek() not in _SPACE + _FLOW + "#&*!|>'\"%@`"

    def _ends_plain(self) -> str:
        return _SPACE + _FLOW if self.flow_level else _SPACE

    def scan_anchor(self, TokenClass: type[AliasToken | AnchorToken]) -> AliasToken | AnchorToken:
        start = self.get_mark()
        self.forward()
        name = self._take(_NAME)
        if not name:
            raise ScannerError("while scanning an anchor or alias", start, "expected a name", self.get_mark())
        return TokenClass(name, start, self.get_mark())

    def scan_plain(self) -> ScalarToken:
        start = end = self.get_mark()
        indent = self.indent + 1
        pattern = _PLAIN_IN_FLOW if self.flow_level else _PLAIN_IN_BLOCK
        parts: list[str] = []
        spaces: list[str] = []
        while self.peek() != "#" and (word := self._take(pattern)):
            self.allow_simple_key = False
            parts += [*spaces, word]
            end = self.get_mark()
            spaces = self.scan_plain_spaces(indent, start)
            if not spaces or (not self.flow_level and self.column < indent):
                break
        return ScalarToken("".join(parts), True, start, end)

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str]:
        blanks = self._take(_BLANKS)
        if self.peek() not in "\r\n":
            return [blanks] if blanks else []
        spaces = super().scan_plain_spaces(indent, start_mark) or []
        if self.column >= indent:
            self._take(_BLANKS)
        return spaces

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.buffer, self.pointer)
        taken = match[0] if match else ""
        self.forward(len(taken))
        return taken
