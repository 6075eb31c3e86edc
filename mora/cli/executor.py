"""Where an evaluation is carried out, as the settings name it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mora.cli.application import Settings
from mora.cli.runs import whole_number
from mora.errors import SettingError

if TYPE_CHECKING:
    from eval.decode import Read
    from eval.executors import Executor


def executor_of(settings: Settings, read: "Read | None" = None) -> "Executor":
    """Makes the executor.

    Args:
        settings: The verb's.
        read: Gives the videos' pixels; `None` reads their files.

    Raises:
        SettingError: A setting of it cannot be used.
    """
    from eval.executors import Local

    chosen = settings["executor"]
    count = _count(chosen, "batch_size")
    if chosen["name"] == "ray":
        return _ray(settings, count, read)
    return Local(count, read)


def require_local(settings: Settings) -> None:
    """Says that videos are made in one process only.

    Raises:
        SettingError: Another executor than `local` is named.
    """
    name = settings["executor"]["name"]
    if name != "local":
        raise SettingError(
            f"executor={name}: videos are made in one process, so far. Make them with "
            "executor=local; docs/distributed.md says how several machines share that work."
        )


def _ray(settings: Settings, count: int | None, read: "Read | None") -> "Executor":
    from eval.distributed.cluster import require_ray
    from eval.distributed.ray_executor import RayExecutor

    require_ray()
    chosen = settings["executor"]
    most = whole_number("executor.videos_per_call", chosen["videos_per_call"], least=1)
    return RayExecutor(
        workers=_count(chosen, "workers"),
        gpus=_share(chosen["gpus"]),
        cpus=_count(chosen, "cpus"),
        address=chosen["address"],
        videos_at_once=count,
        videos_per_call=most,
        retries=whole_number("executor.retries", chosen["retries"], least=0),
        run_at=chosen["run_at"],
        weights_at=chosen["weights_at"],
        # The cache keeps scores under the name of the device that they were computed on.
        same_device=settings.get("cache", "none") != "none",
        read=read,
    )


def _count(chosen: Mapping[str, Any], name: str) -> int | None:
    value = chosen[name]
    return None if value is None else whole_number(f"executor.{name}", value, least=1)


def _share(value: object) -> float | None:
    """Of a GPU. Ray shares one GPU between processes, and gives several only whole."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SettingError(f"executor.gpus={value}: expected a number from 0 to 1.")
    return float(value)
