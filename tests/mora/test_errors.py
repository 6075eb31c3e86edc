"""Whose fault an error is: the machine's, or that of what was worked on."""

import errno

import numpy as np
import pytest
import torch

from mora.errors import machine_fault
from mora.media import MediaNotFoundError


@pytest.mark.parametrize("allocate", [np.empty, torch.empty])
def test_memory_that_really_runs_out_is_told(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate(10**15)
    assert machine_fault(caught.value) == "memory"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "device"),
        (OSError(errno.ENOSPC, "No space left on device"), "system"),
        (OSError(errno.EMFILE, "Too many open files"), "system"),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (MediaNotFoundError("a.mp4", "there is no such file"), None),
    ],
)
def test_faults_are_told_apart(error, fault):
    assert machine_fault(error) == fault
