"""Where an evaluation is carried out, as the settings name it."""

from typing import TYPE_CHECKING

from mora.cli.application import Settings
from mora.cli.runs import whole_number

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

    count = settings["executor"]["batch_size"]
    if count is None:
        return Local(read=read)
    return Local(whole_number("executor.batch_size", count, least=1), read)
