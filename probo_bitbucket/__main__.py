"""`python -m probo_bitbucket`: the same as the command `probo-bitbucket`."""

from __future__ import annotations

from probo_bitbucket.cli import main

main(prog_name="python -m probo_bitbucket")
