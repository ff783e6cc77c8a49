"""The command `probo-bitbucket`: what people do. The daemon itself is started by twistd.

One file a subject. Each imports what it needs when it runs, so that `--help` and shell completion are quick.
"""

from __future__ import annotations

import click

from probo_bitbucket import __version__
from probo_bitbucket.cli.build import build
from probo_bitbucket.cli.builds import builds
from probo_bitbucket.cli.check import check
from probo_bitbucket.cli.deliveries import deliveries
from probo_bitbucket.cli.hooks import hooks
from probo_bitbucket.cli.pull_requests import pull_requests
from probo_bitbucket.cli.receive import receive
from probo_bitbucket.cli.repositories import repositories
from probo_bitbucket.cli.sandbox import sandbox
from probo_bitbucket.cli.setup import setup
from probo_bitbucket.cli.status import status
from probo_bitbucket.cli.store import failed, migrate, send_again


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="probo-bitbucket", message="%(prog)s %(version)s")
def main() -> None:
    """Opens a Probo preview environment for every pull request on Bitbucket Cloud.

    The daemon is started by twistd: twistd -n probo-bitbucket -c defaults.yaml
    """


for command in (
    build,
    builds,
    check,
    deliveries,
    failed,
    hooks,
    migrate,
    pull_requests,
    receive,
    repositories,
    sandbox,
    send_again,
    setup,
    status,
):
    main.add_command(command)
