"""Writes every part of the documents that is made from the code."""

from __future__ import annotations

from docs.reference.files import FILES, made

for path in FILES:
    path.write_text(made(path), encoding="utf-8")
