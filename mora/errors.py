"""Errors that the person at the keyboard can put right, and whose fault an unexpected one is."""

import errno
from typing import Final, Literal

_MEMORY: Final = frozenset({"builtins.MemoryError", "torch.OutOfMemoryError"})
_DEVICE: Final = frozenset({"torch.AcceleratorError"})
"""Classes by name, so that telling them apart does not load torch."""
_CPU_MEMORY: Final = "DefaultCPUAllocator"
"""Torch tells of a CPU's lack of memory by a plain `RuntimeError` that names its allocator."""
_RESOURCES: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
)
"""Of the system: files that may be open, room on the disk, a disk or a mount that is gone."""


class SettingError(ValueError):
    """A setting has a value that cannot be used; the message names it and says what can."""


class RefusedError(RuntimeError):
    """A model would not make what it was asked for; the message says why, and what can be done.

    It is the item's failure, of the kind `refused`.
    """


class MachineError(RuntimeError):
    """The machine is why there is no result, not what it worked on. So nothing is recorded."""


def machine_fault(error: BaseException) -> Literal["memory", "device", "system"] | None:
    """Says what of the machine failed; such an error says nothing of what was worked on.

    Args:
        error: What was raised.

    Returns:
        `memory` where the CPU's or the GPU's memory ran out, and less work may still succeed;
        `device` where the GPU failed, after which it computes nothing more in this process;
        `system` where the disk or the number of open files is exhausted; `None` for all else.
    """
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if kinds & _MEMORY or (isinstance(error, RuntimeError) and _CPU_MEMORY in str(error)):
        return "memory"
    if isinstance(error, OSError):
        if error.errno == errno.ENOMEM:
            return "memory"
        return "system" if error.errno in _RESOURCES else None
    return "device" if kinds & _DEVICE else None
