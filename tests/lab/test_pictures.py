import pytest
import torch

from lab.data import pictures


def test_photographs_come_from_the_installed_packages() -> None:
    training, held_out = pictures.photographs("training"), pictures.photographs("held_out")
    assert not set(training) & set(held_out)
    for photograph in (*training.values(), *held_out.values()):
        assert photograph.dtype == torch.uint8
        assert min(photograph.shape[-2:]) >= 288
    tiles = pictures.tiles("held_out")
    assert tiles.shape[1:] == (3, 288, 288)
    assert torch.equal(tiles[0], centre_square(held_out["chelsea"]))


def centre_square(photograph: torch.Tensor) -> torch.Tensor:
    """The centre square of 288 pixels."""
    height, width = photograph.shape[-2:]
    top, left = (height - 288) // 2, (width - 288) // 2
    return photograph[:, top : top + 288, left : left + 288]


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pictures.HELD_OUT, "chelsea", ("no_such_package", "chelsea.png"))
    pictures.photographs.cache_clear()
    try:
        with pytest.raises(FileNotFoundError, match=r"mora-bench\[lab\]"):
            pictures.photographs("held_out")
    finally:
        pictures.photographs.cache_clear()


def test_the_stereo_pair_agrees_with_its_disparity() -> None:
    left, right, disparity = pictures.motorcycle()
    assert left.shape[1:] == right.shape[1:] == disparity.shape
    columns = torch.arange(disparity.shape[1]) - disparity
    known = disparity.isfinite() & (columns >= 0)
    columns = torch.where(known, columns, 0.0).round().long().expand(3, -1, -1)
    fetched = right.gather(2, columns)
    off = (fetched.float() - left.float()).abs().mean(0)[known]
    unmoved = (right.float() - left.float()).abs().mean(0)[known]
    assert off.median() < 0.3 * unmoved.median()
