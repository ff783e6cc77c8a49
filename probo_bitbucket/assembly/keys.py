"""Keys: the credentials of the settings, made into what calls Bitbucket with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from socket import gethostname
from typing import Any, cast

from attrs import define, field

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import OAuth
from probo_bitbucket.config import HandOut, Settings
from probo_bitbucket.credentials import Account, OAuthConsumer
from probo_bitbucket.flow.builds.environments import CoordinatorEnvironments, Environments, OwnEnvironments
from probo_bitbucket.flow.credentials.access import FixedAccess, NoAccess, OwnAccess
from probo_bitbucket.flow.credentials.accounts import Accounts, OwnAccounts
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.credentials.coordinated import CoordinatorProjects, ProjectAccounts
from probo_bitbucket.flow.credentials.projects import OwnProjects, Projects
from probo_bitbucket.flow.credentials.setup import SetUp
from probo_bitbucket.flow.credentials.wanting import Wanting
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database, Transaction, hand_ons
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.upstream import Upstream


@define(eq=False)
class Keys:
    """Makes the credentials of the settings into what calls Bitbucket."""

    settings: Settings
    endpoint: Upstream
    store: Database
    reactor: Any
    node: str
    chains: list[TokenChain] = field(factory=list)
    budgets: dict[str, Budget] = field(factory=dict)
    _counted: dict[str, str] = field(factory=dict)  # by the name of the account: under whose name its requests count
    _numbers: Iterator[int] = field(factory=count)

    def own(self) -> tuple[OwnAccounts, Projects]:
        """Direct mode: the accounts of the settings, and every repository is a project."""
        nobody = NoAccess("this repository", Budget(self.reactor, self.settings.rate_limit))
        accounts = OwnAccounts(self.settings.accounts, self.store, self._access, nobody, Wanting(self.reactor))
        return accounts, OwnProjects(self.store, accounts, self.settings.hand_out is HandOut.TOKEN)

    def coordinated(self, coordinator: ContainerManager) -> tuple[Accounts, Projects]:
        """Coordinator mode: the coordinator has the projects, and the refresh tokens of the settings' consumer."""
        consumer = cast(OAuthConsumer, self.settings.credentials)  # what the settings must have then

        def chain(name: str, known: Chain) -> TokenChain:
            return self._chain(name, consumer, known.refresh_token, hand_ons.note, known.origin)

        budget = self._budget(consumer.key)
        accounts = ProjectAccounts(coordinator, self.store, chain, budget, Wanting(self.reactor))
        return accounts, CoordinatorProjects(coordinator, accounts)

    def environments(self, container_manager: ContainerManager) -> Environments:
        """Who takes environments down."""
        if self.settings.api_token:
            return CoordinatorEnvironments(container_manager)
        return OwnEnvironments(container_manager, self.reactor)

    def set_up(self, accounts: Accounts, wake: Callable[[], None]) -> SetUp | None:
        """What replaces the credentials while the daemon runs; none where a coordinator has them."""
        if not isinstance(accounts, OwnAccounts):
            return None
        address = _address(self.settings)
        return SetUp(self.settings.accounts, self.store, self.reactor, accounts, self._oauth, wake, address)

    def _oauth(self, key: str, secret: str) -> OAuth:
        return OAuth(self.endpoint, self.settings.bitbucket_site_url, key, secret)

    def _access(self, account: Account) -> OwnAccess:
        credentials = account.credentials
        if credentials is None:
            return NoAccess(account.name, Budget(self.reactor, self.settings.rate_limit))
        self._counted[account.name] = credentials.key if isinstance(credentials, OAuthConsumer) else account.name
        for replaced in self.budgets.keys() - self._counted.values():
            del self.budgets[replaced]
        if isinstance(credentials, OAuthConsumer):
            self.chains[:] = [other for other in self.chains if other.name != account.name]  # which it replaces
            return self._chain(account.name, credentials, credentials.refresh_token)
        return FixedAccess(account.name, credentials, self._budget(account.name), self.reactor)

    def _chain(
        self,
        name: str,
        consumer: OAuthConsumer,
        refresh_token: str,
        renewed: Callable[[Transaction, Chain, Chain], None] = lambda *_: None,
        origin: str = "",
    ) -> TokenChain:
        oauth, budget = self._oauth(consumer.key, consumer.secret), self._budget(consumer.key)
        holder = f"{self.node}/{next(self._numbers)}"  # accounts can turn out to have tokens of one chain
        chain = TokenChain(name, refresh_token, oauth, self.store, self.reactor, holder, budget, renewed, origin)
        self.chains.append(chain)
        return chain

    def _budget(self, consumer: str) -> Budget:
        """The budget of those whose requests Bitbucket counts together: all accounts of one OAuth consumer."""
        if consumer not in self.budgets:
            self.budgets[consumer] = Budget(self.reactor, self.settings.rate_limit)
        return self.budgets[consumer]


def _address(settings: Settings) -> str:
    """Where a browser is likely to find the set-up page."""
    if settings.public_url and not settings.internal_listen:  # else it is behind another door than the webhook
        return settings.public_url
    if settings.listen or settings.internal_listen:
        return "https://<this server>"  # endpoints can be anything
    everywhere = settings.hostname in ("0.0.0.0", "::", "")  # noqa: S104
    return f"http://{gethostname() if everywhere else settings.hostname}:{settings.port}"
