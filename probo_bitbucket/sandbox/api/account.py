"""The caller's own account, and the listings that are gone."""

from __future__ import annotations

import re
from typing import Any

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, query
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.commits import APP_USER, AUTHOR


def add(api: Routes) -> None:
    @api.route("/user")
    def user(request: Request) -> Any:
        access = api.gate.authorize(request, "account")
        if access.app:
            return {**api.cloud.documents.account(APP_USER), "type": "app_user"}
        return api.cloud.documents.account(AUTHOR)

    @api.route("/workspaces/<workspace>/permissions/repositories/<slug>")
    def permissions(request: Request, workspace: str, slug: str) -> Any:
        """For administrators alone, which the caller is taken for."""
        repository = api.gate.repository(request, "account", f"{workspace}/{slug}")
        asked = query(request).get("q", [""])[0]
        wanted = re.fullmatch(r'user\.uuid="([^"]*)"', asked)
        if asked and wanted is None:
            raise Refused(400, "Invalid filter query")
        found = [
            {"type": "repository_permission", "permission": permission, "user": api.cloud.documents.account(user)}
            for user, permission in repository.permissions.items()
            if wanted is None or user.uuid == wanted[1]
        ]
        return api.page(request, found)

    @api.route("/repositories")
    @api.route("/workspaces")
    def across_workspaces(_request: Request) -> Any:
        raise Refused(410, "CHANGE-2770: this endpoint was removed.")
