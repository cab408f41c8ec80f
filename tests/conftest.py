"""The real servers for tests: started once a session, grown when a test asks for more."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from sync_engine.runtime.localstack import LocalStack

BROKER = ("kafka", "registry")
STACK = (*BROKER, "postgres", "mariadb", "redis", "connect")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every user may enter: under root PostgreSQL runs as another one, and pytest's own folders are private."""
    with tempfile.TemporaryDirectory(prefix="sync-engine-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def _servers() -> Iterator[LocalStack]:
    with open_folder() as folder:
        servers = LocalStack(folder / "stack", ())
        yield servers
        servers.stop()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for a stack of the test's own."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def broker(_servers: LocalStack) -> LocalStack:
    """Kafka and the schema registry."""
    _servers.add(*BROKER)
    return _servers


@pytest.fixture(scope="session")
def stack(_servers: LocalStack) -> LocalStack:
    """All servers; the same broker as `broker`."""
    _servers.add(*STACK)
    return _servers


@pytest.fixture(scope="session")
def postgres(_servers: LocalStack) -> str:
    """The address of a PostgreSQL server."""
    return _servers.add("postgres").postgres


@pytest.fixture(scope="session")
def mariadb(_servers: LocalStack) -> str:
    """The address of a MariaDB server, with a database `gov`."""
    url = sa.make_url(_servers.add("mariadb").mariadb)
    engine = sa.create_engine(url.set(drivername="mariadb+pymysql", database=None))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE DATABASE IF NOT EXISTS gov CHARACTER SET utf8mb4"))
    engine.dispose()
    return url.set(drivername="mariadb", database="gov").render_as_string(hide_password=False)
