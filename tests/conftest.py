"""Settings of all tests."""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Properties are told by their answers: a loaded machine must not fail them for being slow. And they are the same
# examples every time, so that what fails fails again; `--hypothesis-profile=exploring` looks at others.
UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("unhurried", **UNHURRIED, derandomize=True)
settings.register_profile("exploring", **UNHURRIED)
settings.load_profile("unhurried")

# Folders whose tests need minutes, several servers, a browser or Debian packages: `make test-all` runs them, `make
# test` does not.
SLOW = {Path(__file__).parent / name for name in ("benchmarks", "deploy", "page", "survival")}

# A shell's background jobs begin with Ctrl-C ignored, and so would the processes that tests start and then stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Torch's compiler imports setuptools when it first compiles, and that fails where a test before has left distutils in
# another state than it expects.
with suppress(ImportError):
    import setuptools  # noqa: F401

# The environment of a test run may hold settings of the service.
for variable in [name for name in os.environ if name.upper().startswith("TTA_")]:
    del os.environ[variable]

# The port of HTTP is one for all servers that name none; tests of it name another.
os.environ["TTA_HTTP__ENABLED"] = "false"

# All that tests talk to is on this machine: no proxy stands between.
for variable in ("no_proxy", "NO_PROXY"):
    os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), "127.0.0.1,localhost")))


@pytest.fixture(autouse=True)
def same_draws_whatever_ran_before() -> None:
    """Those from the generators that libraries share; what was never loaded is not loaded for this."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not SLOW.isdisjoint(item.path.parents):
            item.add_marker(pytest.mark.slow)
