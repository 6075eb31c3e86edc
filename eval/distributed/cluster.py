"""The Ray cluster that an evaluation runs on: one that is there, or one of its own on this machine.

A cluster of its own is closed to everyone else: it listens on the loopback interface alone, asks
for a token that only this process knows, shows no dashboard and reports its use to nobody. When the
evaluation ends, however it ends, its processes end too.
"""

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Final

from mora.errors import MachineError, SettingError

QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Ray tells its makers about clusters unless this is said before it starts."""

STORE_BYTES: Final = 256 * 2**20
"""Of Ray's object store. Only the plan goes through it: about a kilobyte for each video."""


def require_ray() -> None:
    """Says what to do where Ray is not installed.

    Raises:
        SettingError: It is not.
    """
    if find_spec("ray") is None:
        raise SettingError(
            "executor=ray: Ray is not installed. Install it with pip install 'mora-bench[ray]', or "
            "use executor=local."
        )


@contextmanager
def cluster(address: str | None, *, cpus: int, gpus: bool) -> Iterator[None]:
    """Connects to a cluster, or starts one, and leaves it or ends it at the end.

    Args:
        address: Of a cluster that is there: `auto`, `HOST:PORT` or `ray://HOST:PORT`. `None` starts
            one on this machine. A process that is connected to a cluster already stays with it.
        cpus: Cores that a cluster of its own has to give.
        gpus: Whether it has this machine's GPUs to give.

    Raises:
        SettingError: Ray is not installed.
        MachineError: There is no cluster at the address, or none can be started.
    """
    require_ray()
    if _connected():
        yield
        return
    with (
        _environment(QUIET if address else QUIET | _closed()),
        tempfile.TemporaryDirectory(prefix="mora-ray-", ignore_cleanup_errors=True) as folder,
    ):
        import ray

        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=None if gpus else 0,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=folder,
                )
            else:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
            raise MachineError(_refused(address, error)) from error
        try:
            yield
        finally:
            ray.shutdown()


def room() -> dict[str, float]:
    """Cores and GPUs of the cluster: `CPU`, `GPU`."""
    import ray

    resources = ray.cluster_resources()
    return {name: resources.get(name, 0.0) for name in ("CPU", "GPU")}


def _connected() -> bool:
    """Whether this process is connected to a cluster already."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@cache
def _closed() -> dict[str, str]:
    """What closes a cluster on this machine to others.

    Ray reads it when it is imported and keeps it, so it stays the same in this process.

    Raises:
        MachineError: It is too late to say so.
    """
    if "ray" in sys.modules:
        raise MachineError(
            "executor=ray: Ray was imported in this process beforehand, so its cluster would be "
            "open to the network. Start one yourself with ray.init(), if that is meant."
        )
    # With this name Ray says whether machines may be joined; if not, it keeps to the loopback.
    closed = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        closed |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return closed


def _refused(address: str | None, error: Exception) -> str:
    said = " ".join(str(error).split())
    if address is None:
        return f"executor=ray: Ray cannot be started on this machine: {said}"
    remedy = " It needs pip install 'ray[client]' here." if isinstance(error, ImportError) else ""
    return f"executor.address={address}: no Ray cluster can be reached there: {said}{remedy}"


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables, for this process and those that it starts meanwhile."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
