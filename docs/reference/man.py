"""Man pages in man(7)'s language: of the command, and of the settings file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from docs.reference.commands import NAME, all_commands
from probo_bitbucket.config import KEYS, Key
from probo_bitbucket.config.types import ACCOUNTS

_DAEMON = f"""\
The daemon itself is started by twistd, mostly from a systemd unit:
.PP
.RS
.EX
twistd \\-n {NAME} \\-c /etc/{NAME}/{NAME}.yaml
.EE
.RE
.PP
twistd's own options come before the word {NAME}, those of the Node handler (\\-c, \\-p, \\-P, \\-s, \\-a) after it.
SIGTERM and SIGINT end it in order, within 10 seconds. SIGHUP reads the settings again and opens the log again;
SIGUSR1 opens the log again.
"""

_FILES = (
    (f"/etc/{NAME}/{NAME}.yaml", f"The settings, see {NAME}.yaml(5)."),
    (f"/var/lib/{NAME}", "The SQLite database, where the settings name no PostgreSQL."),
    (f"/var/log/{NAME}", "The log, with logFile.enabled; else it is in the journal."),
)


def escaped(text: str) -> str:
    """*Text* as man(7) shows it as it is, and what is marked as code in bold."""
    bold = re.sub("`([^`]*)`", r"\\fB\1\\fR", text.replace("\\", "\\e").replace("-", "\\-"))
    lines = re.sub(r"[^\0-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", bold).splitlines()
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in lines)


def _title(name: str, section: int, what: str) -> str:
    head = f'.TH {escaped(name.upper())} {section} "" "{NAME}" "{NAME}"\n.SH NAME\n'
    return f"{head}{escaped(name)} \\- {escaped(what)}\n"


def _entries(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(f".TP\n.B {escaped(term)}\n{escaped(text)}\n" for term, text in entries)


def _paragraphs(text: str) -> str:
    return "\n.PP\n".join(escaped(" ".join(paragraph.split())) for paragraph in text.split("\n\n"))


def command_page() -> str:
    """probo-bitbucket(1)."""
    parts = [
        _title(NAME, 1, "opens a Probo preview environment for every pull request on Bitbucket Cloud"),
        f".SH SYNOPSIS\n.B {escaped(NAME)}\nCOMMAND [OPTIONS]\n.SH DESCRIPTION\n{_DAEMON}.SH COMMANDS\n",
    ]
    for command in all_commands():
        parts.append(f".SS {escaped(command.usage)}\n{_paragraphs(command.help)}\n{_entries(command.options)}")
    parts.append(f".SH FILES\n{_entries(_FILES)}")
    parts.append(
        ".SH EXIT STATUS\n0 if all is well, 1 if something went wrong, 2 if the command cannot be understood.\n"
    )
    parts.append(f".SH SEE ALSO\n.BR {escaped(NAME)}.yaml (5),\n.BR twistd (1),\n.BR journalctl (1)\n")
    return "".join(parts)


def settings_page() -> str:
    """probo-bitbucket.yaml(5)."""
    return "".join(
        (
            _title(f"{NAME}.yaml", 5, f"settings of {NAME}"),
            ".SH DESCRIPTION\nA YAML file. Of several files, environment variables and options the later ones win, key "
            "by key. A name with File behind it takes the name of a file that has the value in it.\n",
            f".SH KEYS\n{_entries((', '.join(form.name for form in key.forms), _meaning(key)) for key in KEYS)}",
            f".SH SEE ALSO\n.BR {escaped(NAME)} (1)\n",
        )
    )


def _meaning(key: Key) -> str:
    default = f" Default: {key.default}." if key.default else " Required." if key.required else ""
    variable = "" if key.type is ACCOUNTS else f" In the environment: {key.forms[0].variable}."
    return f"{key.help} Expects {key.expects}.{default}{variable}"
