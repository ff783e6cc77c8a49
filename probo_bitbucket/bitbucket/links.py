"""Addresses of Bitbucket's pages, and what may be shown as a link at all."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from probo_bitbucket.model import Repository

SITE_URL = "https://bitbucket.org"

_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def pull_request(repository: Repository, number: int, site_url: str = SITE_URL) -> str:
    return f"{site_url}/{repository.full_name}/pull-requests/{number}"


def commit(repository: Repository, commit_hash: str, site_url: str = SITE_URL) -> str:
    return f"{site_url}/{repository.full_name}/commits/{commit_hash}"


def is_web_address(url: str) -> bool:
    """Tell whether *url* is an absolute http(s) address, without blanks or control characters."""
    if _BLANK_OR_CONTROL.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:  # half of an IPv6 address, for instance
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
