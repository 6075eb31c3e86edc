from pathlib import Path

import numpy as np
import pytest
from goldens import golden

from mora.models.lavie.mask import mask

ARRAYS = Path(golden.__file__).parent / "seine" / "cases.npz"


@pytest.mark.parametrize(
    ("name", "frames", "first", "last"),
    [("transition", 16, 1, 1), ("i2v", 16, 1, 0), ("first3", 16, 3, 0), ("onelast2", 9, 2, 2)],
)
def test_mask_equals_the_reference(name: str, frames: int, first: int, last: int) -> None:
    with np.load(ARRAYS) as arrays:
        expected = arrays[f"mask_{name}/per_frame"]
    assert mask(frames, first, last).tolist() == expected.tolist()


def test_more_given_frames_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 3"):
        mask(3, 2, 2)
