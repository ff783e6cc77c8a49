"""The log for bunyan's tools: one JSON object a line, as Probo's own programs write it.

See https://github.com/trentm/node-bunyan#core-fields. An error is in `err`, with its traceback as `stack`.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

from probo_bitbucket import logs

NAME = "probo-bitbucket"

_LEVELS = {LogLevel.debug: 20, LogLevel.info: 30, LogLevel.warn: 40, LogLevel.error: 50, LogLevel.critical: 60}


def format_event(event: LogEvent) -> str:
    """Return the line of *event*, with its line end, and without secrets."""
    record = {
        "name": NAME,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "level": _LEVELS[event.get("log_level", LogLevel.info)],
        "msg": formatEvent(event),
        "time": logs.time_of(event),
        "v": 0,
        "event": logs.name_of(event),
        **logs.fields_of(event),
    }
    if (failure := event.get("log_failure")) is not None:
        record["err"] = _error(failure)
    # Redacted value by value: a secret that looks like a piece of JSON must not break the line. All that a terminal
    # might act on is escaped, because json leaves ASCII only.
    return json.dumps(_redacted(record)) + "\n"


def _error(failure: Failure) -> dict[str, str]:
    return {
        "message": failure.getErrorMessage(),
        "name": failure.type.__name__ if failure.type else "",
        "stack": failure.getTraceback(),
    }


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(part) for name, part in value.items()}
    return value if isinstance(value, bool | int | float) else logs.secrets.redact(str(value))
