"""Whose credentials reach a repository, and how they are got and kept alive."""
