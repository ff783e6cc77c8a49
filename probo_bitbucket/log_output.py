"""The log of the process: where twistd's options and the settings have it go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from probo_bitbucket import bunyan, config, logs
from probo_bitbucket.log_file import LogFile, StandardOutput

FORMS = {config.LogFormat.TEXT: logs.format_event, config.LogFormat.BUNYAN: bunyan.format_event}


class LogOutput:
    """The log's observer, and where it writes to: where twistd's options say, or else the settings, or else twistd.log.

    Raises OSError where that cannot be opened.
    """

    def __init__(self, twistd: Mapping[str, Any], settings: config.Settings) -> None:
        if twistd["syslog"]:
            sys.exit("--syslog: secrets would not be hidden there; use the settings' logFile, --logfile or systemd")
        if twistd["logfile"] == "-" and not twistd["nodaemon"]:
            sys.exit("--logfile=-: a daemon has no standard output; add -n")
        self._file: str = twistd["logfile"] or ""
        self._in_foreground = bool(twistd["nodaemon"])
        self._default = Path("twistd.log").absolute()  # twistd changes its directory later
        self._destination = self._open(settings)
        self.observer = logs.LineObserver(self._destination.write, settings.log_level, FORMS[settings.log_format])

    @property
    def on_terminal(self) -> bool:
        return isinstance(self._destination, StandardOutput)

    @property
    def path(self) -> Path | None:
        """The file that it goes to, if it is one."""
        return self._destination.path.resolve() if isinstance(self._destination, LogFile) else None

    def reopen(self) -> None:
        """Go on in the file that is now at the path."""
        self._destination.reopen()

    def prepare(self, settings: config.Settings) -> Callable[[], None]:
        """Open what *settings* say; what is returned makes the log go there. Raises OSError."""
        destination = self._open(settings)

        def follow() -> None:
            self._destination = destination
            self.observer.use(destination.write, settings.log_level, FORMS[settings.log_format])

        return follow

    def _open(self, settings: config.Settings) -> LogFile | StandardOutput:
        if not self._file and settings.log_file_enabled:
            return LogFile(settings.log_file_path, settings.log_file_period, settings.log_file_count)
        if self._in_foreground and self._file in ("", "-"):
            return StandardOutput()
        return LogFile(Path(self._file).absolute() if self._file else self._default)
