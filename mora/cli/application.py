"""Runs a verb as a Hydra application: overrides, `--cfg job`, `--multirun`, launchers."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from mora.cli.arguments import CONF, prepare
from mora.errors import machine_fault

Settings = Mapping[str, Any]
"""A verb's settings, nested and resolved."""

QUIET: Final = (
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
    "hydra.sweep.dir=results/runs/multirun",
    "hydra.sweep.subdir=.",
)
"""Runs have their own folders; Hydra writes none, but for the plan of a `--multirun`."""

INTERRUPTED: Final = 130

MENDABLE: Final = frozenset(
    {
        "builtins.PermissionError",
        "eval.cache.file.CacheError",
        "eval.ledger.errors.LedgerError",
        "mora.checkpoints.tensors.WeightsError",
        "metrics.captioners.captioner.CaptionerError",
        "metrics.networks.MissingCaptionerError",
        "metrics.networks.MissingWeightsError",
        "mora.checkpoints.CheckpointError",
        "mora.errors.MachineError",
        "mora.errors.SettingError",
        "mora.media.errors.MediaError",
        "prompts.load.PromptSetError",
    }
)
"""Errors that tell the person what to do. They are named, not imported, so that telling of one
does not load the rooms of the others."""


def run(
    verb: str,
    arguments: Sequence[str],
    function: Callable[[Settings], int],
    *,
    lists_of_texts: Collection[str] = (),
) -> int:
    """Runs a verb.

    Args:
        verb: Its name, which is also that of its file in `mora/conf`; an underline stands for the
            space in a verb of two words.
        arguments: What follows the verb on the command line.
        function: Carries out the settings and returns an exit status.
        lists_of_texts: Settings that take several paths, see `mora.cli.arguments`.

    Returns:
        The exit status; of several runs the greatest.
    """
    import hydra
    from omegaconf import DictConfig, OmegaConf

    statuses: list[int] = []
    spoken = verb.replace("_", " ")

    def job(config: DictConfig) -> int:
        try:
            settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            status = function(cast("Settings", settings))
        except Exception as error:
            status = _tell(spoken, error)
        statuses.append(status)
        return status

    # With this set Hydra hands errors on, instead of printing them with its own traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    before = sys.argv
    try:
        prepared = prepare(arguments, lists_of_texts=lists_of_texts)
        settings = [each for each in prepared if "=" in each and not each.startswith("-")]
        others = [each for each in prepared if each not in settings]
        # Settings first: Hydra's parser takes them only where they stand together.
        sys.argv = [f"mora {spoken}", *settings, *QUIET, *others]
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=verb)(job)()
    except KeyboardInterrupt:
        print(f"mora {spoken}: interrupted; run again, it goes on from here.", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 2
    except Exception as error:
        return _tell(spoken, error)
    finally:
        sys.argv = before
    return max(statuses, default=0)


def _tell(verb: str, error: Exception) -> int:
    """Tells of an error in one line; of one that nobody foresaw, with all that Python says.

    Returns:
        The exit status 2. Python's own, 1, would say that the run has recorded a failure.
    """
    message = told(error)
    if message is None:
        traceback.print_exception(error)
        message = "this is a fault of the program; what was done is stored."
    print(f"mora {verb}: {message}", file=sys.stderr)
    return 2


def told(error: Exception) -> str | None:
    """Returns what to tell of an error that the person can put right; of others, `None`."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from pydantic import ValidationError

    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        choices = error.options or sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        group = group.replace("/", ".")
        return f"{group}={choice}: no such choice. There are: {', '.join(choices)}."
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return f"{error.override}: expected name=value."
        return (
            f"{error.override}: this cannot be read as name=value. Put a value with special signs "
            "in quotes, once for the shell and once more within: \"name='value'\"."
        )
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _one_line(error)
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if kinds & MENDABLE:
        return str(error)
    if machine_fault(error) is not None:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{said}. What was done is stored; mend it and run the same command again."
    if isinstance(error, ValidationError):
        from mora.agents.binding import describe

        return describe(error, error.title.lower())
    return None


def _one_line(error: BaseException) -> str:
    """Hydra's and OmegaConf's messages in one line."""
    unknown = re.match(r"Could not override '(.+?)'", str(error))
    if unknown and "/" in unknown[1]:
        role = unknown[1].rpartition("/")[2]
        return (
            f"{unknown[1].replace('/', '.')}: the chosen settings leave no such choice. Name it in "
            f"the defaults of their file, - {role}: NAME, or - {role}: null for none."
        )
    if unknown:
        return f"{unknown[1]}: no such setting. See --cfg job for the settings."
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key", "object_type"))]
    return " ".join(kept)
