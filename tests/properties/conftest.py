"""How long to look: `quick` always, `deep` with `pytest tests/properties --hypothesis-profile=deep`."""

import pytest
from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("quick", max_examples=250, deadline=None, print_blob=True, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("mutate", max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=SLOW_IS_FINE)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("quick")
