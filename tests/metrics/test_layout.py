import pytest
import torch
from torch import nn
from torch.nn import functional as F

from metrics.backbones.layout import InstanceNorm, laid_out


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_keeps_its_digits(layout: torch.memory_format) -> None:
    """A plain float32 sum over this many pixels would be off by 1e-5."""
    torch.manual_seed(0)
    x = 3 * torch.randn(2, 5, 400, 300) + torch.tensor([0.0, 1, 5, -9, 30])[:, None, None]
    x = x.to(memory_format=layout)
    expected = F.instance_norm(x.double())
    with torch.inference_mode():
        found = InstanceNorm(5)(x.clone(memory_format=torch.preserve_format))
    assert found.is_contiguous(memory_format=layout)
    assert (found - expected).norm() / expected.norm() < 1e-6
    torch.testing.assert_close(InstanceNorm(5)(x), found, rtol=0, atol=1e-4)


def test_what_flows_through_a_network_follows_its_layout() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    with torch.inference_mode():
        out = laid_out(network)(torch.randn(2, 3, 12, 12))
    assert out.is_contiguous(memory_format=torch.channels_last)
