"""What a simulated repository is made of: accounts, files and commits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from uuid import NAMESPACE_DNS, uuid5

from attrs import frozen


def uuid_of(name: str) -> str:
    """The same uuid for the same name in every run, in Bitbucket's braces."""
    return f"{{{uuid5(NAMESPACE_DNS, name)}}}"


@frozen
class Account:
    """A user of Bitbucket."""

    display_name: str
    nickname: str

    @property
    def uuid(self) -> str:
        return uuid_of(f"user/{self.nickname}")

    @property
    def account_id(self) -> str:
        return f"557058:{self.uuid.strip('{}')}"


AUTHOR = Account("Robin Fern", "robin")
APP_USER = Account("The Consumer", "app")


class FileKind(StrEnum):
    PLAIN = "plain"
    SYMLINK = "link"
    LFS = "lfs"


@frozen
class File:
    """A file of a commit. The content of a symlink is its target path."""

    content: bytes
    kind: FileKind = FileKind.PLAIN


@frozen
class Commit:
    """A commit with the whole tree that it stands for, by path."""

    hash: str  # 40 hexadecimal digits
    message: str
    date: float
    files: Mapping[str, File]
    parents: tuple[str, ...] = ()
    author: Account = AUTHOR

    def below(self, directory: str) -> dict[str, File | None]:
        """The direct children of *directory* (empty or ending in a slash) by path; None stands for a directory."""
        children: dict[str, File | None] = {}
        for path, file in sorted(self.files.items()):
            if path.startswith(directory):
                name, slash, _ = path[len(directory) :].partition("/")
                children[directory + name] = None if slash else file
        return children


def make_commit(
    seed: str, message: str, date: float, files: Mapping[str, File | bytes], parents: tuple[Commit, ...]
) -> Commit:
    """A commit on top of the first parent: *files* are added to its tree. *seed* makes the hash unlike any other."""
    tree = dict(parents[0].files) if parents else {}
    tree.update({path: file if isinstance(file, File) else File(file) for path, file in files.items()})
    digest = hashlib.sha1(f"{seed} {message} {[parent.hash for parent in parents]}".encode(), usedforsecurity=False)
    return Commit(digest.hexdigest(), message, date, tree, tuple(parent.hash for parent in parents))
