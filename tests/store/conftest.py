"""Both engines: every test that takes `url` or `engine` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from probo_bitbucket.store import Engine
from probo_bitbucket.store.migrate import upgrade
from tests.postgres import Cluster, running_cluster

cluster = pytest.fixture(scope="session")(running_cluster)


@pytest.fixture
def postgresql(cluster: Cluster) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = cluster.new_database()
    yield url
    cluster.drop_database(url)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of an SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine with the tables made."""
    engine = Engine(url)
    upgrade(engine)
    yield engine
    engine.close()


@pytest.fixture
def tx(engine: Engine) -> Iterator[sa.Connection]:
    """A transaction that ends with the test."""
    with engine.begin() as connection:
        yield connection
