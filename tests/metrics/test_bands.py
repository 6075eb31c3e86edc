import pytest
import torch
from torch import nn

from metrics.backbones import bands


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (3, 1, 1), (3, 2, 1), (1, 2, 0)]
)
@pytest.mark.parametrize("height", [9, 32, 33])
def test_bands_join_to_what_one_convolution_gives(
    kernel: int, stride: int, padding: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, kernel, stride, padding), nn.ReLU())
    x = torch.randn(2, 3, height, 20)
    with torch.inference_mode():
        expected = network(x)
        rows = []
        convolve = nn.functional.conv2d
        monkeypatch.setattr(bands, "LARGE", 150)
        monkeypatch.setattr(bands, "BAND", 300)
        monkeypatch.setattr(
            nn.functional,
            "conv2d",
            lambda *a, **k: rows.append(a[0].shape[-2]) or convolve(*a, **k),
        )
        found = bands.in_bands(network)(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert len(rows) > 1, "it went in one piece"
