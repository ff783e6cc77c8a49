"""What this handler can show to Bitbucket to be let in, and the accounts it works for."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from attrs import field, frozen


def covers(globs: Iterable[str], full_name: str) -> bool:
    """Whether one of *globs* matches the repository `workspace/slug`. Bitbucket's names ignore case."""
    return any(fnmatchcase(full_name.lower(), glob.lower()) for glob in globs)


def has_wildcards(glob: str) -> bool:
    """Whether *glob* can match more than the one name that it is."""
    return bool(set("*?[") & set(glob))


@frozen
class OAuthConsumer:
    """Key and secret of an OAuth consumer; without a refresh token it uses the client credentials grant.

    An access token, which the Node handlers wanted beside the refresh token, is not used. It is a secret all the same.
    """

    key: str
    secret: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)


@frozen
class AccessToken:
    """Access token of a repository, project or workspace, sent as Bearer. It is never refreshed."""

    token: str = field(repr=False)


@frozen
class ApiToken:
    """API token of a user, sent as Basic `email:token`."""

    email: str
    token: str = field(repr=False)


Credentials = OAuthConsumer | AccessToken | ApiToken


@frozen
class Account:
    """Credentials, and globs over `workspace/slug` for the repositories that they serve.

    Those that have none yet are set up while the daemon runs.
    """

    name: str
    credentials: Credentials | None
    repositories: tuple[str, ...]

    def covers(self, full_name: str) -> bool:
        """Whether the account serves the repository `workspace/slug`."""
        return covers(self.repositories, full_name)
