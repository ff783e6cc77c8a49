"""Judgement: what the settings say about events and statuses, made into what decides. It has no state."""

from __future__ import annotations

from probo_bitbucket.config import Settings, ShownStatuses
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.deliveries.responder import Responder
from probo_bitbucket.flow.deliveries.rules import Policy
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.flow.statuses.display import Display


def make_responder(settings: Settings) -> Responder:
    """What decides on events as *settings* say. Has no state, and needs nothing but the store."""
    display = display_of(settings)
    policy = Policy(settings.drafts, settings.forks, settings.pushes, settings.branches)
    return Responder(policy, ending_of(settings, display), Announcement(display), settings.commands)


def display_of(settings: Settings) -> Display:
    return Display(
        settings.instance_name,
        settings.build_url,
        settings.bitbucket_site_url,
        steps=settings.statuses is not ShownStatuses.SUMMARY,
        summary=settings.statuses is not ShownStatuses.STEPS,
        comment=settings.comment,
    )


def ending_of(settings: Settings, display: Display) -> Ending:
    keep_builds = None if settings.api_token else settings.keep_builds
    return Ending(settings.teardown, keep_builds, display, coordinated=bool(settings.api_token))
