"""The real servers for tests: started once a session, grown when a test asks for more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import LocalStack

BROKER = ("kafka", "registry")
STACK = (*BROKER, "postgres", "redis", "connect")


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    home: Path = tmp_path_factory.mktemp("stack")
    # The unprivileged user that PostgreSQL runs as under root must be able to enter.
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    servers = LocalStack(home, ())
    yield servers
    servers.stop()


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
