"""Builds a Probo preview environment for every Bitbucket pull request."""

__version__ = "1.0.0.dev0"
