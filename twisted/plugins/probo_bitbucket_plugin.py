"""Makes `twistd probo-bitbucket` known."""

from twisted.application.service import ServiceMaker

probo_bitbucket = ServiceMaker(
    "probo-bitbucket",
    "probo_bitbucket.tap",
    "Builds a Probo preview environment for every Bitbucket pull request",
    "probo-bitbucket",
)
