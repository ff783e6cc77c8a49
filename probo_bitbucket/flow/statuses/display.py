"""Display: what the settings say that Bitbucket shall show of builds."""

from __future__ import annotations

from attrs import frozen


@frozen
class Display:
    """Which statuses and comments there are, and what their links and names are made of.

    *instance_name* is the prefix of all contexts, *build_url* the template of the environments' addresses: both as in
    the Container Manager's settings.
    """

    instance_name: str
    build_url: str
    site_url: str
    steps: bool = True  # a status for the set-up and for each step
    summary: bool = False  # one for the whole build
    comment: bool = False  # one on each pull request
