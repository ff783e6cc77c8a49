"""The types of settings: what each expects, in words, and how its text is read.

Every value is read from the text as it was written, wherever it was written. So a settings file, an environment
variable and an option mean the same, and YAML 1.1's readings (`0755`, `1:30`, `on`) never come between.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from probo_bitbucket.credentials import has_wildcards
from probo_bitbucket.model import check_slug


@frozen
class Type:
    """*parse* returns the value, or raises ValueError where the text is not what the type *expects*."""

    expects: str
    parse: Callable[[str], object]


Network = IPv4Network | IPv6Network


class HandOut(StrEnum):
    """What the Container Manager gets as a refresh token."""

    HANDLE = "handle"
    TOKEN = "token"  # noqa: S105  the word, not a token


class LogFormat(StrEnum):
    """The form of the log's lines."""

    TEXT = "text"
    BUNYAN = "bunyan"


class ShownStatuses(StrEnum):
    """What Bitbucket shows of a build."""

    STEPS = "steps"
    SUMMARY = "summary"
    BOTH = "both"


class Pushes(StrEnum):
    """Which pushes are built."""

    MARKER = "marker"  # those with `[build]` in the message of a commit
    BRANCHES = "branches"  # all
    NEVER = "never"


class Forks(StrEnum):
    """Whether pull requests from forks are built: strangers' code next to the project's assets."""

    NEVER = "never"
    APPROVE = "approve"  # each commit that a member has approved
    ALWAYS = "always"


LOG_LEVELS = {"trace": 10, "debug": 20, "info": 30, "warn": 40, "error": 50, "fatal": 60}

_DAY = 86400.0
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY}
_PERIODS = {"h": 3600.0, "d": _DAY, "w": 7 * _DAY, "m": 30 * _DAY, "y": 365 * _DAY}
_PERIOD_WORDS = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1m", "yearly": "1y"}


def _check(fits: object) -> None:
    if not fits:
        raise ValueError


def _match(pattern: str, text: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text)
    if found is None:
        raise ValueError
    return found


# The internal routes, and what is below them: a webhook there would hide one of them, or be hidden by the token's path.
_ROUTES = re.compile(
    r"/(?:(?:t|api|pages|setup|builds|branches|commits|deliveries|pull-requests?)(?:/.*)?"
    r"|auth_lookup|update|healthz|readyz|metrics|events|repositories"
    r"|hooks(?:/(?:add|look|repair|remove|test))?|failures/send-again)"
)


def matching(expects: str, pattern: str) -> Type:
    """Text that the whole of *pattern* matches."""
    return Type(expects, lambda text: _match(pattern, text).group())


def whole_number(least: int, most: int) -> Type:
    """Decimal digits only: `0755` would be octal to one reader and decimal to the next."""

    def parse(text: str) -> int:
        number = int(_match("0|[1-9][0-9]{0,8}", text).group())
        _check(least <= number <= most)
        return number

    return Type(f"a whole number from {least} to {most}", parse)


def _text(text: str) -> str:
    # Also keeps out what must not reach a header, a log line or a file name: line breaks, NUL, lone surrogates.
    _check(text and text.isprintable())
    return text


def _flag(text: str) -> bool:
    return _match("(true|yes|on)|(?:false|no|off)", text.lower()).group(1) is not None


def _url(text: str) -> str:
    parts = urlsplit(_text(text))
    # Asking for the port is what makes urlsplit() check it.
    _check(parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port))
    _check(not parts.username and not parts.password and not re.search(r"[\s?#\\]", text))
    return text.rstrip("/")


def _build_url(text: str) -> str:
    _check("{{buildId}}" in text)
    parts = urlsplit(_text(text).replace("{{buildId}}", "0"))
    _check(parts.scheme in ("http", "https") and parts.hostname and not re.search(r"\s", text))
    return text


def _path(text: str) -> Path:
    # twistd changes the working directory later.
    return Path(_text(text)).absolute()


# What follows one of @ / ? # in a password could be taken for the host or what comes after it, and shown as such; so
# would be a password among the parameters.
_POSTGRESQL = (
    r"postgresql://(?:[^@:/?#\s]*(?::[^@/?#\s]*)?@)?"  # user and password
    r"(?:\[[^\]@/?\s]+\]|[^@:/?#\s]*)(?::[0-9]+)?"  # host and port
    r"(?:/[^?\s]*)?(?:\?(?!(?:\S*&)?(?:ssl)?password=)\S*)?"  # name and parameters
)


def _database(text: str) -> str:
    if text.startswith("postgresql://"):
        return _match(_POSTGRESQL, _text(text)).group()
    path = _match(r"sqlite:///(?!:memory:)(.+)", _text(text)).group(1)
    return f"sqlite:///{_path(path)}"


def _webhook_path(text: str) -> str:
    _check(not _ROUTES.fullmatch(_match("/[A-Za-z0-9/._~-]*", text).group()))
    return text


def _duration(text: str) -> float:
    number, unit = _match(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)", text).groups()
    return float(number) * _SECONDS[unit]


def _period(text: str) -> float:
    if text == "never":
        return 0.0
    number, unit = _match("([1-9][0-9]{0,3})([hdwmy])", _PERIOD_WORDS.get(text, text)).groups()
    return int(number) * _PERIODS[unit]


def _log_level(text: str) -> str:
    if text in LOG_LEVELS:
        return text
    number = int(_match("[1-6][0-9]", text).group())
    _check(number <= LOG_LEVELS["fatal"])
    # As in bunyan, a number between two levels lets through what is at least as grave.
    return next(name for name, level in LOG_LEVELS.items() if level >= number)


def _glob(text: str) -> str:
    workspace, slash, slug = text.partition("/")
    for part in (workspace, slug) if slash else (workspace,):
        if has_wildcards(part):
            _match(r"[A-Za-z0-9_.*?\[\]!-]+", part)
        else:
            check_slug(part)  # such a name is also what a webhook is looked for by
    return text if slash else f"{text}/*"


def port_of(endpoint: str) -> str | None:
    """What an endpoint has in the place of its port, first or by its name; None where it has none there."""
    found = re.match(r"(?:tcp[46]?|ssl):(?:port=)?([^:=]*)(?::|\Z)", endpoint)
    return found and found[1]


def _endpoint(text: str) -> str:
    endpoint = _match(r"[a-z0-9]+:[^\x00-\x20]+", text).group()
    port = port_of(endpoint)
    # Twisted would find it, but say nothing of it but ValueError.
    _check(port is None or (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535))
    return endpoint


def _network(text: str) -> Network:
    # One address is a network of one. Bits behind the prefix are refused: 10.1.2.3/8 may be meant as either.
    return ip_network(_text(text))


def _ca_file(text: str) -> str:
    path = str(_path(text))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # absent, not readable, or without a certificate
        raise ValueError from None
    return path


def _mappings(_: str) -> object:
    raise ValueError  # one text can never be a list of mappings


TEXT = Type("text without line breaks", _text)
FLAG = Type("true or false", _flag)
# Goes into HTTP headers.
TOKEN = matching("text of visible ASCII characters without blanks", "[!-~]+")
WEBHOOK_SECRET = matching("text of 1 to 128 characters (Bitbucket's limit)", r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")
EMAIL = matching("an e-mail address", r"[!-9;-?A-~]+@[!-?A-~]+")
WEBHOOK_PATH = Type(
    "a path that starts with /, has no other signs than - . _ ~ in it, and is none of our other routes", _webhook_path
)
ENDPOINT = Type("a Twisted endpoint, such as tcp:3012 or unix:/run/bitbucket.sock", _endpoint)
NETWORK = Type("an address or network, such as 10.1.2.3 or 2001:db8::/32", _network)
PATH_TOKEN = matching("at least 16 characters of a-z, A-Z, 0-9 and - . _ ~", "[A-Za-z0-9._~-]{16,}")
CA_FILE = Type("a readable PEM file with certificates", _ca_file)
HOST = matching("a host name or address", "[A-Za-z0-9.:%_-]+")
HOST_NAME = Type("a host name", lambda text: _match("[A-Za-z0-9._-]+", text).group().lower())
URL = Type("an http:// or https:// URL without user, query and fragment", _url)
BUILD_URL = Type("an http:// or https:// URL with {{buildId}} in it", _build_url)
PATH = Type("a path", _path)
DATABASE = Type(
    "a URL that starts with sqlite:/// (and a file) or postgresql:// (@ / ? # of its password percent-encoded)",
    _database,
)
DURATION = Type("a duration (a number of seconds, or 90s, 15m, 24h, 30d)", _duration)
PERIOD = Type("a period (1h, 1d, 1w, 1m, 1y, hourly, daily, weekly, monthly or yearly), or never", _period)
LOG_LEVEL = Type(f"a level ({', '.join(LOG_LEVELS)}, or 10 to 60)", _log_level)
LOG_FORMAT = Type("text or bunyan", LogFormat)
HAND_OUT = Type("handle or token", HandOut)
INTERVAL = Type(f"{DURATION.expects}, or never", lambda text: 0.0 if text == "never" else _duration(text))
SHOWN_STATUSES = Type("steps, summary or both", ShownStatuses)
PUSHES = Type("marker, branches or never", Pushes)
FORKS = Type("never, approve or always", Forks)
BRANCH_GLOB = matching("the name of a branch, or a glob such as release/*", r"[^\x00-\x20\x7f~^:\\]{1,255}")
ACCOUNT_NAME = matching("a name of a-z, 0-9, - and _, other than default", "(?!default$)[a-z0-9][a-z0-9_-]{0,63}")
GLOB = Type("a workspace, or a glob such as acme/* or acme/site-*, of the letters a-z and A-Z, digits and - . _", _glob)
ACCOUNTS = Type("a list of mappings (in a settings file)", _mappings)
