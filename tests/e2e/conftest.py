"""One network for the whole folder: started once, its state handed from test to test in the order of the files."""

from collections.abc import Iterator

import pytest

from sync_engine.runtime.localstack import LocalStack
from tests.e2e.network import Network


@pytest.fixture(scope="package")
def network(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The sample network after its first load."""
    running = Network(stack, tmp_path_factory.mktemp("network"))
    try:
        running.start()
        running.catch_up(120)
        yield running
    finally:
        running.stop()
