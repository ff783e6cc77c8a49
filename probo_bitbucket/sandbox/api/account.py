"""The caller's own account, and the listings that are gone."""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.commits import APP_USER, AUTHOR


def add(api: Routes) -> None:
    @api.route("/user")
    def user(request: Request) -> Any:
        access = api.gate.authorize(request, "account")
        if access.app:
            return {**api.cloud.documents.account(APP_USER), "type": "app_user"}
        return api.cloud.documents.account(AUTHOR)

    @api.route("/repositories")
    @api.route("/workspaces")
    def across_workspaces(_request: Request) -> Any:
        raise Refused(410, "CHANGE-2770: this endpoint was removed.")
