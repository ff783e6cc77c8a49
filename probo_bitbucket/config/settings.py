"""The settings that the daemon runs with."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from probo_bitbucket.config.types import Forks, HandOut, LogFormat, Network, Pushes, ShownStatuses
from probo_bitbucket.credentials import Account, Credentials


@frozen(kw_only=True)
class Whereabouts:
    """What a command has to know of a daemon that it calls."""

    port: int
    hostname: str
    listen: tuple[str, ...]  # endpoints as Twisted describes them; hostname and port where there are none
    internal_listen: tuple[str, ...]
    internal_token: str = field(repr=False)


@frozen(kw_only=True)
class Settings(Whereabouts):
    """Read, merged and checked. `keys.KEYS` says what each means; texts that were not given are empty."""

    share_port: bool
    internal_access: tuple[Network, ...]
    dashboard_hosts: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    webhook_networks: tuple[Network, ...]
    webhook_url: str
    public_url: str
    webhook_secrets: tuple[str, ...] = field(repr=False)
    repositories: tuple[str, ...]
    drafts: bool
    forks: Forks
    pushes: Pushes
    branches: tuple[str, ...]  # globs
    teardown: bool
    keep_builds: int
    credentials: Credentials | None  # those of the top level
    accounts: tuple[Account, ...]  # the first that covers a repository serves it
    api_url: str
    api_token: str = field(repr=False)
    forward_github: str  # URLs of the handlers of the other providers that the Container Manager knows
    forward_gitlab: str
    forward_stash: str
    instance_name: str
    build_url: str
    statuses: ShownStatuses
    comment: bool
    commands: bool
    reconcile: float  # seconds; 0 for never
    bitbucket_api_url: str
    bitbucket_site_url: str
    ca_file: str
    data_dir: Path
    database: str = field(repr=False)
    hand_out: HandOut
    retry_for: float  # seconds
    retention: float  # seconds
    rate_limit: int  # requests an hour
    log_level: str
    log_format: LogFormat
    log_file_enabled: bool
    log_file_path: Path
    log_file_period: float  # seconds; 0: never
    log_file_count: int
    warnings: tuple[str, ...]  # for the log, one line each

    @property
    def database_url(self) -> str:
        """The database that was given, or SQLite in the data directory."""
        return self.database or f"sqlite:///{self.data_dir / 'probo-bitbucket.db'}"

    @property
    def forward(self) -> dict[str, str]:
        """The URLs of the other providers' handlers that were given, by `project.provider.type`."""
        given = {"github": self.forward_github, "gitlab": self.forward_gitlab, "stash": self.forward_stash}
        return {provider: url for provider, url in given.items() if url}
