"""The names of the events in the log: what each means, how grave it is, and what to do about it."""

from __future__ import annotations

from attrs import frozen


@frozen
class LogEvent:
    """A name that stays the same from version to version, so that whoever watches the log can rely on it.

    *alert* says what to do where somebody should be told; it is empty for what needs nobody.
    """

    name: str
    level: str
    meaning: str
    alert: str = ""


EVENTS = (
    LogEvent("delivery.accepted", "info", "A delivery is in the database and will be decided."),
    LogEvent("delivery.ignored", "info", "A delivery asks for nothing; the reason says why."),
    LogEvent(
        "delivery.refused",
        "warn",
        "A delivery whose signature is missing or wrong was refused.",
        "Again and again: the webhook has another secret; `probo-bitbucket hooks repair` mends it.",
    ),
    LogEvent(
        "delivery.malformed",
        "warn",
        "A delivery that cannot be understood was refused.",
        "Keep the body, which Bitbucket shows beside its webhook, and report it.",
    ),
    LogEvent("hook.set", "info", "A webhook was made or mended in Bitbucket."),
    LogEvent("hook.removed", "info", "A webhook was removed from Bitbucket."),
    LogEvent("delivery.postponed", "warn", "A delivery could not be decided yet and will be tried again."),
    LogEvent(
        "delivery.failed",
        "warn",
        "A delivery was given up on.",
        "Read the reason; `probo-bitbucket send-again` has it tried again.",
    ),
    LogEvent("delivery.decided", "debug", "A delivery was decided; the lines beside it say what it led to."),
    LogEvent(
        "build.wanted",
        "info",
        "A delivery, or an operator, led to a new build. The line has its id.",
    ),
    LogEvent("build.known", "info", "A delivery led to no build, because its commit has one already."),
    LogEvent("build.none", "info", "A delivery led to no build; the reason says why."),
    LogEvent(
        "build.not_allowed", "info", "The settings do not allow the build; the author was told on the pull request."
    ),
    LogEvent("delivery.done", "info", "A delivery led to the end of builds."),
    LogEvent("build.started", "info", "The Container Manager has taken the build."),
    LogEvent(
        "build.postponed", "warn", "A build could not be started yet and will be tried again; the reason says why."
    ),
    LogEvent(
        "build.invalid", "info", "The configuration is missing or wrong; the author was told on the pull request."
    ),
    LogEvent(
        "build.refused",
        "warn",
        "The Container Manager will not start this build, however often it is asked.",
        "Look into the Container Manager's log at the time of the line.",
    ),
    LogEvent("build.cancelled", "info", "The build is not wanted any more; the reason says why."),
    LogEvent("build.skipped", "info", "The author wants no build of this commit; the reason says where."),
    LogEvent("build.removed", "info", "The environment of a build was taken down."),
    LogEvent("build.pinned", "info", "An environment stays as long as it is pinned."),
    LogEvent("build.removal_postponed", "warn", "An environment could not be taken down yet; it will be tried again."),
    LogEvent(
        "build.removal_failed",
        "error",
        "An environment was not taken down within `retryFor`.",
        "Take it down by hand, or leave it to the Reaper.",
    ),
    LogEvent("delivery.sent_again", "info", "An operator has a delivery decided anew."),
    LogEvent("build.sent_again", "info", "An operator has a build tried again that was given up on."),
    LogEvent("build.wanted_again", "info", "An operator has a commit built once more, in a new build."),
    LogEvent("build.unwanted", "info", "An operator has a build taken down."),
    LogEvent("status.sent_again", "info", "An operator has a status reported once more."),
    LogEvent("failure.sent_again", "info", "An operator has everything of that name tried again."),
    LogEvent("closing.postponed", "warn", "What a closed pull request has left behind will be looked for again."),
    LogEvent(
        "closing.failed",
        "error",
        "What a closed pull request has left behind was not found out within `retryFor`.",
        "Look for its environments at the Container Manager, or leave them to the Reaper.",
    ),
    LogEvent(
        "build.failed",
        "error",
        "A build was given up on: after `retryFor`, or because Bitbucket does not show us its repository.",
        "Read the reason; `probo-bitbucket send-again` has it tried again.",
    ),
    LogEvent(
        "build.ended",
        "info",
        "The Container Manager is done with a build, which it had not told; or nothing was heard of it for a day.",
    ),
    LogEvent("update.accepted", "debug", "An update of the Container Manager is in the database."),
    LogEvent("status.reported", "info", "Bitbucket shows the status."),
    LogEvent("status.postponed", "info", "Bitbucket did not take a status yet; it will be tried again."),
    LogEvent(
        "status.failed",
        "error",
        "A status was given up on.",
        "Read the reason; `probo-bitbucket send-again` has it tried again.",
    ),
    LogEvent("forward.passed_on", "info", "The handler of another provider has the update."),
    LogEvent("forward.postponed", "info", "Another provider's handler did not take an update yet; it is tried again."),
    LogEvent(
        "forward.failed",
        "error",
        "An update for the handler of another provider was given up on.",
        "Read the reason; `probo-bitbucket send-again` has it tried again.",
    ),
    LogEvent(
        "forward.missing",
        "warn",
        "The Container Manager tells of builds of a provider that `forward` has no handler for.",
        "Put its handler's URL into `forward`.",
    ),
    LogEvent("reconciliation.found", "info", "Bitbucket did not tell of this by its webhook: it was found by looking."),
    LogEvent("reconciliation.postponed", "info", "Bitbucket could not be asked what was missed; it will be later."),
    LogEvent(
        "reconciliation.skipped",
        "info",
        "One pull request cannot be looked at or understood; the others of its repository are.",
    ),
    LogEvent(
        "reconciliation.failed",
        "info",
        "Bitbucket does not let a repository be looked at: it is tried once a day; or it is gone, and forgotten.",
    ),
    LogEvent("command.decided", "info", "A command in a comment was carried out, or not; the reason says why not."),
    LogEvent("command.postponed", "info", "A command could not be carried out or answered yet; it will be."),
    LogEvent(
        "command.failed",
        "warn",
        "A command was given up on.",
        "Read the reason; `probo-bitbucket send-again` has it tried again, or do by hand what was asked for.",
    ),
    LogEvent("comment.written", "info", "Our comment on a pull request is up to date."),
    LogEvent("comment.postponed", "info", "Bitbucket did not take our comment yet; it will be tried again."),
    LogEvent(
        "comment.failed",
        "warn",
        "Bitbucket does not take our comment, or somebody deleted it: there is none until the next build.",
        "On every pull request: read the reason, which names the permission that is missing.",
    ),
    LogEvent("catchup.failed", "info", "The Container Manager could not be asked about a build that has gone quiet."),
    LogEvent(
        "lookup.failed",
        "error",
        "The Container Manager asked for a token and got none: its download fails.",
        "See `/readyz`: the credentials are dead, or Bitbucket is down.",
    ),
    LogEvent("credentials.renewed", "info", "Bitbucket gave a new access token."),
    LogEvent(
        "credentials.dead",
        "critical",
        "Bitbucket refuses the credentials; all work of the account waits.",
        "At once: open `/setup`, run `probo-bitbucket setup --store`, or put new credentials into the settings; in "
        "coordinator mode give the coordinator new ones.",
    ),
    LogEvent(
        "credentials.missing",
        "error",
        "A repository cannot be reached, and its work waits: there are no credentials, no account covers it, or the "
        "coordinator's project has none. Told once.",
        "Open `/setup` or run `probo-bitbucket setup --store` if there are none; else give it to an account, or take "
        "it out of `repositories`; give a coordinator credentials for the project.",
    ),
    LogEvent("credentials.alive", "info", "Bitbucket takes an access token or API token again that it had refused."),
    LogEvent(
        "credentials.unstored",
        "warn",
        "New tokens cannot be stored, because the database cannot be written; they are in memory only.",
        "At once: mend the database, and do not stop the daemon before `credentials.renewed`.",
    ),
    LogEvent("credentials.idle", "warn", "A token that nobody had used for a month could not be renewed yet."),
    LogEvent(
        "credentials.shared",
        "warn",
        "Accounts have refresh tokens of one chain: they are one user's, and die together.",
        "Name the repositories of all in one account, or give each its own credentials (`/setup`).",
    ),
    LogEvent("credentials.handed_on", "info", "The coordinator has the renewed tokens."),
    LogEvent(
        "credentials.hand_on_postponed",
        "warn",
        "The coordinator did not take renewed tokens yet; they will be handed on again.",
        "Again and again: look into the coordinator's log.",
    ),
    LogEvent(
        "credentials.not_handed_on",
        "warn",
        "To hand renewed tokens on to the coordinator was given up on; it will be told of the next ones.",
        "Read the reason; `probo-bitbucket send-again` has it tried again.",
    ),
    LogEvent(
        "setup.needed",
        "warn",
        "There are no credentials that work. The line has an address that opens the set-up page once.",
        "Open that address.",
    ),
    LogEvent(
        "setup.refused",
        "warn",
        "A step of the set-up page did not succeed: access was denied, Bitbucket gave no tokens, or it was no step.",
        "Begin again, if it was you: the page says what to do.",
    ),
    LogEvent("setup.done", "info", "The daemon works with credentials that were set up just now."),
    LogEvent("setup.replaced", "info", "The settings have other credentials than before, and these count now."),
    LogEvent(
        "settings.doubtful", "warn", "Something in the settings is allowed, but perhaps not meant.", "Read it once."
    ),
    LogEvent("settings.reloaded", "info", "The settings were read again after SIGHUP, and count from now on."),
    LogEvent(
        "settings.refused",
        "error",
        "The settings that were read again cannot be used; those from before count on. A line for each mistake.",
        "Mend what the lines name, and reload again: a restart would fail.",
    ),
    LogEvent(
        "settings.postponed",
        "warn",
        "A setting has changed that a reload cannot change: the database.",
        "Restart when that suits.",
    ),
    LogEvent("daemon.listening", "info", "The daemon takes requests at this address."),
    LogEvent("daemon.resumed", "info", "Work of that kind waits from before the start; the line says how much."),
    LogEvent("daemon.stopping", "info", "The daemon was told to stop."),
    LogEvent(
        "daemon.unsettled",
        "critical",
        "After a reload, what there was before it did not end as it should. The daemon works with the new settings.",
        "Report the traceback.",
    ),
    LogEvent(
        "daemon.overdue",
        "error",
        "Not everything ended within ten seconds of a stop. What was on its way is in the database.",
    ),
    LogEvent(
        "daemon.deaf",
        "critical",
        "The daemon cannot listen or cannot open its database, and ends.",
        "At once: the reason says what to mend.",
    ),
    LogEvent(
        "store.unavailable",
        "error",
        "The database cannot be read or written; requests are answered with 503. A warning where only a round waits.",
        "At once: make room on the disk, or start the database. Nothing else has to be restarted.",
    ),
    LogEvent("store.closed", "info", "Other users could read the database or its directory; now they cannot any more."),
    LogEvent(
        "store.open",
        "warn",
        "Other users may read the database or its directory, which the daemon could not change.",
        "Once: do what the reason says. The database holds tokens.",
    ),
    LogEvent("store.pruned", "info", "Old rows were deleted, by `retention`."),
    LogEvent("http.answered", "debug", "A request was answered."),
    LogEvent(
        "http.forbidden",
        "warn",
        "A request for an internal route came from an address that may not.",
        "It is a program of yours: add its network to `internalAccess`, or the proxy to `trustedProxies`.",
    ),
    LogEvent("http.too_slow", "info", "A client took too long to send its request and was cut off."),
    LogEvent(
        "http.crowded",
        "warn",
        "There were too many connections, and one was closed.",
        "Again and again: find out who opens them.",
    ),
    LogEvent("http.failed", "critical", "A request ended with an error that nobody expected.", "Report the traceback."),
    LogEvent(
        "step.failed",
        "critical",
        "A step ended with an error that nobody expected; it is tried again.",
        "Report the traceback.",
    ),
    LogEvent(
        "step.unsettled",
        "critical",
        "The outcome of a step could not be written down; it is tried again.",
        "Report the traceback.",
    ),
    LogEvent(
        "round.failed",
        "critical",
        "A round ended with an error that nobody expected; the next one comes.",
        "Report the traceback.",
    ),
    LogEvent(
        "worker.failed",
        "critical",
        "Looking for work ended with an error that nobody expected.",
        "Report the traceback.",
    ),
    LogEvent(
        "worker.late",
        "warn",
        "The node stood still after it had taken work: another one may have it now, so nothing of it is begun.",
        "See what froze it: memory, disk, the database, the machine below.",
    ),
    LogEvent(
        "systemd.deaf", "warn", "systemd could not be told how the daemon is.", "See that the unit has `Type=notify`."
    ),
    LogEvent("twisted", "info", "What Twisted says by itself, as that it starts and stops."),
    LogEvent(
        "twisted.failed",
        "critical",
        "Something failed where Twisted called it.",
        "Report it, with the lines of its traceback.",
    ),
)
