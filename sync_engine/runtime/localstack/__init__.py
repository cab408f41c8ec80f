"""The real servers, as child processes, from package registries alone: for `sync-engine demo`, for tests and benchmarks.

In production each is the customer's own, by settings; nothing outside this package and the demo knows that a server is local.
"""

from sync_engine.runtime.localstack.fetch import FetchFailed
from sync_engine.runtime.localstack.process import Death, ServiceFailed
from sync_engine.runtime.localstack.services import ALL
from sync_engine.runtime.localstack.stack import Endpoints, LocalStack

__all__ = ["ALL", "Death", "Endpoints", "FetchFailed", "LocalStack", "ServiceFailed"]
