"""The one list of every settings key: its name, where its value goes, its type, default and help."""

from __future__ import annotations

import re

from attrs import frozen

from probo_bitbucket.config import types
from probo_bitbucket.config.types import Type

ENVIRONMENT = "PROBO_BITBUCKET_"


@frozen
class Key:
    """One setting. The default is written as an operator would write it; empty means that there is none.

    Of *many* values there can be several in the default, with blanks between them.
    """

    name: str  # as in YAML; `api.url` is `url` in the mapping `api`
    attribute: str  # of Settings
    type: Type
    default: str
    help: str
    secret: bool = False
    many: bool = False  # one value or a list of them; becomes a tuple
    required: bool = False
    option: str = ""  # of the command line

    @property
    def section(self) -> str:
        """The mapping that the key is in; empty for the top level."""
        return self.name.rpartition(".")[0]

    @property
    def expects(self) -> str:
        """What its value has to be, in words."""
        return f"{self.type.expects}, or a list of such" if self.many else self.type.expects

    @property
    def forms(self) -> tuple[Form, ...]:
        plain = Form(self, self.name, in_file=False)
        return (plain, Form(self, f"{self.name}File", in_file=True)) if self.secret else (plain,)

    @property
    def default_value(self) -> object:
        if self.many:
            return tuple(self.type.parse(part) for part in self.default.split())
        return self.type.parse(self.default) if self.default else ""


@frozen
class Form:
    """A way to give a key: its value, or the name of a file that holds it (`bbClientSecretFile`)."""

    key: Key
    name: str
    in_file: bool

    @property
    def leaf(self) -> str:
        """The name inside its section."""
        return self.name.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable: bbWebhookUrl is PROBO_BITBUCKET_BB_WEBHOOK_URL."""
        words = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", self.name)
        return ENVIRONMENT + words.replace(".", "_").upper()


CREDENTIAL_KEYS = (
    Key("bbClientKey", "credentials", types.TOKEN, "", "Key of the OAuth consumer."),
    Key("bbClientSecret", "credentials", types.TOKEN, "", "Secret of the OAuth consumer.", secret=True),
    Key(
        "bbAccessToken",
        "credentials",
        types.TOKEN,
        "",
        "Access token of a repository, project or workspace; beside bbRefreshToken it is not used.",
        secret=True,
    ),
    Key("bbRefreshToken", "credentials", types.TOKEN, "", "First refresh token of the consumer.", secret=True),
    Key("bbEmail", "credentials", types.EMAIL, "", "E-mail address of the user that bbApiToken belongs to."),
    Key("bbApiToken", "credentials", types.TOKEN, "", "API token of a user.", secret=True),
)

ACCOUNT_KEYS = (
    Key("name", "name", types.ACCOUNT_NAME, "", "What the account is called in logs and pages.", required=True),
    Key(
        "repositories",
        "repositories",
        types.GLOB,
        "",
        "The repositories that the account serves.",
        many=True,
        required=True,
    ),
    *CREDENTIAL_KEYS,
)

KEYS = (
    Key(
        "port",
        "port",
        types.whole_number(0, 65535),
        "3012",
        "Port to listen on; 0 takes any free one.",
        option="--port",
    ),
    Key("hostname", "hostname", types.HOST, "0.0.0.0", "Address to listen on."),  # noqa: S104  the Node handlers' default
    Key(
        "listen",
        "listen",
        types.ENDPOINT,
        "",
        "Where to listen, in place of port and hostname.",
        many=True,
    ),
    Key(
        "sharePort",
        "share_port",
        types.FLAG,
        "false",
        "Let other daemons of this machine listen on the same ports: the system shares connections out among them.",
    ),
    Key(
        "internalListen",
        "internal_listen",
        types.ENDPOINT,
        "",
        "Where the internal routes (all but the webhook) are, in place of the webhook's port.",
        many=True,
    ),
    Key(
        "internalAccess",
        "internal_access",
        types.NETWORK,
        "127.0.0.0/8 ::1",
        "Networks that may call the internal routes.",
        many=True,
    ),
    Key(
        "internalToken",
        "internal_token",
        types.PATH_TOKEN,
        "",
        "Lets whoever calls the internal routes as /t/<token>/… in, wherever the call comes from.",
        secret=True,
    ),
    Key(
        "dashboardHosts",
        "dashboard_hosts",
        types.HOST_NAME,
        "",
        "Names under which browsers may open the dashboard, besides addresses, localhost and the machine's own name.",
        many=True,
    ),
    Key(
        "trustedProxies",
        "trusted_proxies",
        types.NETWORK,
        "",
        "Proxies that are believed when they say who called them.",
        many=True,
    ),
    Key(
        "webhookNetworks",
        "webhook_networks",
        types.NETWORK,
        "",
        "Networks that may call the webhook; any where there are none.",
        many=True,
    ),
    Key(
        "bbWebhookUrl",
        "webhook_url",
        types.WEBHOOK_PATH,
        "/bitbucket-webhook",
        "Path that Bitbucket posts its webhooks to.",
        option="--bitbucket-webhook-path",
    ),
    Key(
        "publicUrl",
        "public_url",
        types.URL,
        "",
        "Where Bitbucket reaches this daemon, such as https://probo.example.com; bbWebhookUrl comes behind it. "
        "For webhooks that are made and tested from here.",
    ),
    Key(
        "bbWebhookSecret",
        "webhook_secrets",
        types.WEBHOOK_SECRET,
        "",
        "Secret of the webhook, or a list of them while it is being changed.",
        secret=True,
        many=True,
        option="--bitbucket-webhook-secret",
    ),
    Key("repositories", "repositories", types.GLOB, "*", "The repositories that are built.", many=True),
    Key(
        "drafts",
        "drafts",
        types.FLAG,
        "true",
        "Build draft pull requests, too; if not, they wait until they are ready.",
    ),
    Key(
        "forks",
        "forks",
        types.FORKS,
        "never",
        "Build pull requests from forks: never, after a member's approval of the commit, or always.",
    ),
    Key(
        "pushes",
        "pushes",
        types.PUSHES,
        "marker",
        "Build pushes without a pull request: with [build] in a commit message, all to the branches, or never.",
    ),
    Key("branches", "branches", types.BRANCH_GLOB, "*", "The branches whose pushes can be built.", many=True),
    Key(
        "teardown",
        "teardown",
        types.FLAG,
        "true",
        "Take environments down when their pull request is closed or has newer ones; the Reaper's matter if not.",
    ),
    Key(
        "keepBuilds",
        "keep_builds",
        types.whole_number(1, 1000),
        "1",
        "How many environments of an open pull request stay: the newest that are ready.",
    ),
    *CREDENTIAL_KEYS,
    Key(
        "accounts",
        "accounts",
        types.ACCOUNTS,
        "",
        "Several accounts side by side, each with name, repositories and the bb… keys of its credentials; "
        "the first that covers a repository serves it.",
    ),
    Key(
        "api.url",
        "api_url",
        types.URL,
        "",
        "URL of the Container Manager (or coordinator) that builds are sent to, such as http://localhost:3020.",
        required=True,
    ),
    Key(
        "api.token",
        "api_token",
        types.TOKEN,
        "",
        "Token of the coordinator; turns coordinator mode on.",
        secret=True,
        option="--bitbucket-api-token",
    ),
    Key(
        "forward.github",
        "forward_github",
        types.URL,
        "",
        "Handler for GitHub: updates of its builds and questions about its projects are passed on to this URL.",
    ),
    Key("forward.gitlab", "forward_gitlab", types.URL, "", "Handler for GitLab."),
    Key("forward.stash", "forward_stash", types.URL, "", "Handler for Stash (Bitbucket Server)."),
    Key("instanceName", "instance_name", types.TEXT, "ProboCI", "Prefix of build statuses; the same as in cm.yaml."),
    Key("buildUrl", "build_url", types.BUILD_URL, "", "Where a build can be visited; the same as in cm.yaml."),
    Key(
        "statuses",
        "statuses",
        types.SHOWN_STATUSES,
        "steps",
        "What Bitbucket shows of a build: a status for each step, one summary under the key instanceName, or both.",
    ),
    Key(
        "reconcile",
        "reconcile",
        types.INTERVAL,
        "15m",
        "How often to look in Bitbucket for what its webhooks did not tell, in repositories where something happens.",
    ),
    Key("commands", "commands", types.FLAG, "false", "Do what comments of people with the right to write ask for."),
    Key("comment", "comment", types.FLAG, "false", "Keep a comment with the environment's URL on each pull request."),
    Key("bbApiUrl", "bitbucket_api_url", types.URL, "https://api.bitbucket.org/2.0", "Bitbucket's REST API."),
    Key("bbSiteUrl", "bitbucket_site_url", types.URL, "https://bitbucket.org", "Bitbucket's site: OAuth and links."),
    Key("caFile", "ca_file", types.CA_FILE, "", "Certificates (PEM) of a private CA, trusted besides the system's."),
    Key("dataDir", "data_dir", types.PATH, "./probo-bitbucket-data", "Directory of the SQLite database."),
    Key("database", "database", types.DATABASE, "", "Database; SQLite in dataDir where there is none.", secret=True),
    Key(
        "handOut",
        "hand_out",
        types.HAND_OUT,
        "handle",
        "What the Container Manager gets as refresh token: a handle that only this handler understands, or the token.",
    ),
    Key("retryFor", "retry_for", types.DURATION, "24h", "How long failed calls are tried again."),
    Key("retention", "retention", types.DURATION, "30d", "How long finished deliveries and statuses are kept."),
    Key(
        "rateLimit",
        "rate_limit",
        types.whole_number(1, 1_000_000),
        "1000",
        "Requests an hour that Bitbucket allows to one account.",
    ),
    Key("log_level", "log_level", types.LOG_LEVEL, "info", "The least grave events to log."),
    Key(
        "logFormat",
        "log_format",
        types.LOG_FORMAT,
        "text",
        "The form of the log: lines for people, or JSON lines as bunyan writes and reads them.",
    ),
    Key("logFile.enabled", "log_file_enabled", types.FLAG, "false", "Log to a file; `logFile: true` says the same."),
    Key("logFile.path", "log_file_path", types.PATH, "../logs/bitbucket.log", "The log file."),
    Key(
        "logFile.period",
        "log_file_period",
        types.PERIOD,
        "1d",
        "How often a new log file is begun; never leaves that to logrotate.",
    ),
    Key("logFile.count", "log_file_count", types.whole_number(1, 1000), "7", "How many old log files are kept."),
)

BY_NAME = {key.name: key for key in KEYS}
SECTIONS = tuple(dict.fromkeys(key.section for key in KEYS if key.section))

# Keys of settings files that are kept in one file with ours: read by others, without a meaning here.
FOREIGN = {
    **dict.fromkeys(
        ("auth", "loom", "assets", "docker", "images", "defaultImage", "buildsEventStream"), "the Container Manager"
    ),
    **dict.fromkeys(
        ("githubWebhookPath", "githubWebhookSecret", "githubAPIToken", "logLevel"), "Probo's GitHub handler"
    ),
}
