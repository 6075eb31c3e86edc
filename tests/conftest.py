"""Its place puts `tests/` on the import path: tests say `from goldens import parity`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from random_weights import save_random_weights

from metrics.features import sizes


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read the person's own cache nor write to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds what another one computed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def metric_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the metrics' miniature networks with random weights. Nothing is written to it."""
    return save_random_weights(tmp_path_factory.mktemp("metric_weights"))


@pytest.fixture(scope="module")
def small_forwards() -> Iterator[None]:
    """Clips of tests are short; forwards filled up to their full size would only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "FORWARD_FRAMES", 4)
        patch.setattr(sizes, "FORWARD_PAIRS", 2)
        yield
