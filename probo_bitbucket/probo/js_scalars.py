"""What a YAML scalar means to js-yaml 3 (`safeLoad`), and how JavaScript writes it: as JSON and as a property name.

JavaScript has one type of number, so every number is a float here until it is written.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

# Dates are JavaScript's Date and bytes are Node's Buffer until they are written.
Scalar = None | bool | float | str | datetime | bytes

_NULLS = ("~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<binary>[01_]*[01])|0x(?P<hexadecimal>[0-9a-fA-F_]*[0-9a-fA-F])"
    r"|0(?P<octal>[0-7_]*[0-7])|(?P<decimal>0|[1-9](?:[0-9_]*[0-9])?|[1-9][0-9_]*(?::[0-5]?[0-9])+))"
)
_BASES = {"binary": 2, "octal": 8, "hexadecimal": 16}
_FLOAT = re.compile(
    r"(?:[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9_]+(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))(?<!_)"
)
_DATE = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")
_TIMESTAMP = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})(?:[Tt]|[ \t]+)"
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]*))?"
    r"(?:[ \t]*(?:Z|(?P<zone_sign>[-+])(?P<zone_hour>[0-9]{1,2})(?::(?P<zone_minute>[0-9]{2}))?))?"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")
_EXPONENTIAL_FROM = 1e21  # JavaScript writes larger integers as 1e+21
_EXPONENTIAL_BELOW = 1e-6


class ScalarError(ValueError):
    """A scalar that means nothing, or nothing that can be written."""


class _OtherTypeError(ScalarError):
    """The scalar is not written the way this type is."""


def plain(text: str) -> Scalar:
    """Return what an unquoted, untagged scalar means. Raises ScalarError for a date beyond the year 9999."""
    for read in (_null, _bool, _int, _float, _timestamp):
        try:
            return read(text)
        except _OtherTypeError:
            continue
    return text


def tagged(tag: str, text: str) -> Scalar:
    """Return what a scalar means under `tag:yaml.org,2002:` and *tag*. Raises ScalarError, also for an unknown tag."""
    try:
        read = _TAGS[tag]
    except KeyError:
        raise ScalarError(f"unknown tag !!{tag}") from None
    return read(text)


def to_json(scalar: Scalar) -> object:
    """Return what JSON.stringify writes for *scalar*, as Python's own types."""
    match scalar:
        case bytes():
            return {"type": "Buffer", "data": list(scalar)}
        case datetime():
            return scalar.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        case float():
            return _json_number(scalar)
        case _:
            return scalar


def property_name(scalar: Scalar) -> str:
    """Return the property name that JavaScript makes of a key. Raises ScalarError for a date and for binary data."""
    match scalar:
        case str():
            return scalar
        case None:
            return "null"
        case bool():
            return "true" if scalar else "false"
        case float():
            return _number_name(scalar)
        case _:
            raise ScalarError("this key is not a text: put it into quotes")


def _json_number(number: float) -> int | float | None:
    if not math.isfinite(number):
        return None
    if number.is_integer() and abs(number) < _EXPONENTIAL_FROM:
        return int(Decimal(repr(number)))  # JavaScript pads the shortest digits with zeros, int(number) would not
    return number


def _number_name(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    if _EXPONENTIAL_BELOW <= abs(number) < _EXPONENTIAL_FROM:
        return format(Decimal(repr(number)), "f").removesuffix(".0")
    return re.sub(r"e([-+])0", r"e\1", repr(number))


def _null(text: str) -> None:
    if text not in _NULLS:
        raise _OtherTypeError(f"{text[:40]!r} is not null")


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text]
    except KeyError:
        raise _OtherTypeError(f"{text[:40]!r} is neither true nor false") from None


def _int(text: str) -> float:
    match = _INTEGER.fullmatch(text)
    if not match:
        raise _OtherTypeError(f"{text[:40]!r} is not an integer")
    notation = str(match.lastgroup)
    digits = match[notation].replace("_", "")
    number = _base60(digits) if notation == "decimal" else _power_of_two(digits, _BASES[notation])
    return -number if match["sign"] == "-" else number


def _power_of_two(digits: str, base: int) -> float:
    try:
        return float(int(digits, base))
    except OverflowError:
        return math.inf


def _base60(text: str) -> float:
    """Read `190:20:30`, and a number without colons as it is."""
    number, weight = 0.0, 1.0
    for part in reversed(text.split(":")):
        number += float(part) * weight
        weight *= 60
    return number


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise _OtherTypeError(f"{text[:40]!r} is not a number")
    digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
    if digits.startswith(".e"):  # `._e1`: JavaScript's parseFloat finds no digit
        return math.nan
    number = _base60(digits.lstrip("-+"))
    return -number if digits.startswith("-") else number


def _timestamp(text: str) -> datetime:
    match = _DATE.fullmatch(text) or _TIMESTAMP.fullmatch(text)
    if not match:
        raise _OtherTypeError(f"{text[:40]!r} is not a date")
    part = {name: value or "0" for name, value in match.groupdict().items()}
    year, month = int(part["year"]), int(part["month"]) - 1
    year += 1900 if year < 100 else 0  # Date.UTC takes 01 for 1901, and carries whatever is too large
    time = timedelta(
        days=int(part["day"]) - 1,
        hours=int(part.get("hour", "0")),
        minutes=int(part.get("minute", "0")),
        seconds=int(part.get("second", "0")),
        milliseconds=int(part.get("fraction", "0")[:3].ljust(3, "0")),
    )
    zone = timedelta(hours=int(part.get("zone_hour", "0")), minutes=int(part.get("zone_minute", "0")))
    try:
        start = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return start + time + (zone if part.get("zone_sign") == "-" else -zone)
    except (ValueError, OverflowError):
        raise ScalarError(f"{text!r} is beyond the year 9999") from None


def _binary(text: str) -> bytes:
    packed = text.replace("\n", "")
    if not _BASE64.fullmatch(packed) or len(packed) % 4:
        raise ScalarError("this is not base64")
    packed = packed.replace("=", "")
    whole = packed[:-1] if len(packed) % 4 == 1 else packed
    return base64.b64decode(whole + "=" * (-len(whole) % 4))


_TAGS: dict[str, Callable[[str], Scalar]] = {
    "null": _null,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "timestamp": _timestamp,
    "binary": _binary,
    "str": str,
    "merge": str,
}
