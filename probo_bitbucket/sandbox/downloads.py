"""What can be downloaded from the simulated Bitbucket's site: archives, and large files from its other host."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from klein import Klein
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, answer
from probo_bitbucket.sandbox.commits import Commit, FileKind
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.repository import Repository

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud


def add_downloads(app: Klein, cloud: BitbucketCloud, gate: Gate) -> None:
    @app.route("/<workspace>/<slug>/get/<path:name>.tar.gz")
    def archive(request: Request, workspace: str, slug: str, name: str) -> bytes:
        access = gate.authorize(request, "repository")
        repository = cloud.repositories.get(f"{workspace}/{slug}")
        if repository is None or not access.reaches(repository.full_name):
            raise Refused(404, "There is no such repository.")
        return answer(request, tarball(repository, repository.revision(name)), "application/x-tar-gz")

    @app.route("/lfs/<workspace>/<slug>/<revision>/<path:path>")
    def large_file(request: Request, workspace: str, slug: str, revision: str, path: str) -> bytes:
        """The other host, which refuses to be sent Bitbucket's credentials."""
        if request.getHeader("Authorization"):
            raise Refused(400, "Only one auth mechanism allowed.")
        repository = cloud.repositories.get(f"{workspace}/{slug}")
        file = repository.commit(revision).files.get(path) if repository else None
        if file is None:
            raise Refused(404, "There is no such file.")
        return answer(request, file.content, "application/octet-stream")


def tarball(repository: Repository, commit: Commit) -> bytes:
    """The files of *commit* in one directory, as Bitbucket packs them."""
    packed = io.BytesIO()
    directory = f"{repository.workspace}-{repository.slug}-{commit.hash[:12]}"
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, file in commit.files.items():
            member = tarfile.TarInfo(f"{directory}/{path}")
            if file.kind is FileKind.SYMLINK:
                member.type, member.linkname = tarfile.SYMTYPE, file.content.decode()
                archive.addfile(member)
            else:
                member.size = len(file.content)
                archive.addfile(member, io.BytesIO(file.content))
    return packed.getvalue()
