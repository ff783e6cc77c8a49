"""Outside: everyone whom a handler calls, and as whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen
from twisted.web.client import HTTPConnectionPool

from probo_bitbucket.assembly.keys import Keys
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.flow.credentials.projects import Projects
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.probo.handlers import OtherHandler
from probo_bitbucket.store import Database
from probo_bitbucket.upstream import Upstream, http_client

Observe = Callable[[str, int, float], None]  # as of Upstream


@frozen
class Outside:
    """Bitbucket, the Container Manager (or a coordinator), and the handlers of other providers."""

    keys: Keys
    accounts: Accounts
    projects: Projects
    api: Upstream  # Bitbucket's
    bitbucket: Bitbucket
    container_manager: ContainerManager
    handlers: Mapping[str, OtherHandler]  # by provider
    breakers: Sequence[Breaker]
    pool: HTTPConnectionPool

    @classmethod
    def of(
        cls, settings: Settings, store: Database, reactor: Any, node: str, observe: Observe = lambda *_: None
    ) -> Outside:
        """*observe* is told of every call."""
        http, pool = http_client(reactor, settings.ca_file)
        upstream = partial(Upstream, http=http, clock=reactor, observe=observe)
        names = ("Bitbucket", "Bitbucket's token endpoint", "the Container Manager")
        api, token_endpoint, probo = map(upstream, names)
        handlers = {name: OtherHandler(upstream(f"the {name} handler"), url) for name, url in settings.forward.items()}
        container_manager = ContainerManager(probo, settings.api_url, settings.api_token)
        keys = Keys(settings, token_endpoint, store, reactor, node)
        accounts, projects = keys.coordinated(container_manager) if settings.api_token else keys.own()
        called = (api, token_endpoint, probo, *(handler.upstream for handler in handlers.values()))
        return cls(
            keys=keys,
            accounts=accounts,
            projects=projects,
            api=api,
            bitbucket=Bitbucket(api, settings.bitbucket_api_url, accounts),
            container_manager=container_manager,
            handlers=handlers,
            breakers=[each.breaker for each in called],
            pool=pool,
        )
