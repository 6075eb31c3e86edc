"""A captured step must not look at a value from the host, nor bring one from there."""

import pytest
import torch
from diffusers import AutoencoderKL
from torch.utils._python_dispatch import TorchDispatchMode

from lab.train import image_autoencoder, image_to_image, temporal_autoencoder, text_to_image
from lab.train.export import save_pretrained_fp16
from lab.train.loop import Settings, Training

CPU = torch.device("cpu")
FROM_HOST = {"aten::lift_fresh", "aten::lift_fresh_copy"}  # a tensor of Python's numbers
TO_HOST = {
    "aten::_local_scalar_dense",
    "aten::is_nonzero",
    "aten::equal",
    "aten::nonzero",
    "aten::masked_select",
    "aten::unique_dim",
    "aten::_unique2",
}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class Watch(TorchDispatchMode):
    """Notes what a CUDA graph could not capture."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        if name in FROM_HOST | TO_HOST:
            self.seen.add(name)
        if name in INDEXED and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.seen.add(f"{name} with a mask")
        return function(*args, **(kwargs or {}))


@pytest.fixture
def watches(monkeypatch):
    """Lets each training run its loss and backward pass twice, the second time watched."""
    found = []

    class Watched(Training):
        def run(self):
            self.loss()[0].backward()  # fills the caches, as the steps before a capture do
            with Watch() as watch:
                self.loss()[0].backward()
            found.append(watch.seen)
            super().run()

    for module in (image_autoencoder, temporal_autoencoder, text_to_image, image_to_image):
        monkeypatch.setattr(module, "Training", Watched)
    return found


@pytest.mark.parametrize("look", ["item", "mask", "bring"])
def test_the_watch_sees_what_it_should(look):
    values = torch.arange(3.0)
    with Watch() as watch:
        if look == "item":
            values.sum().item()
        elif look == "mask":
            values[values > 1]
        else:
            values + torch.tensor([1.0, 2.0, 3.0])
    assert watch.seen


def test_image_autoencoder(tmp_path, monkeypatch, watches):
    tiny = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 2}
    monkeypatch.setattr(image_autoencoder, "VAE", image_autoencoder.VAE | tiny)
    image_autoencoder.train(Settings(tmp_path, CPU, steps=1, batch=2))
    assert watches == [set()]


def test_temporal_autoencoder(tmp_path, monkeypatch, watches):
    tiny = {"block_out_channels": (32, 32, 32, 32)}
    monkeypatch.setattr(temporal_autoencoder, "VAE", temporal_autoencoder.VAE | tiny)
    monkeypatch.setattr(temporal_autoencoder, "FRAMES", 2)
    monkeypatch.setattr(temporal_autoencoder, "LENGTHS", ((2, 1), (1, 1)))
    temporal_autoencoder.train(Settings(tmp_path, CPU, steps=1, batch=1))
    assert watches == [set(), set()]  # pictures, then clips


def test_text_to_image(tmp_path, monkeypatch, watches):
    small = {"block_out_channels": (16, 16), "norm_num_groups": 4, "attention_head_dim": 2}
    monkeypatch.setattr(text_to_image, "UNET", text_to_image.UNET | small)
    tiny = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 2}
    vae = AutoencoderKL(**(image_autoencoder.VAE | tiny))
    save_pretrained_fp16(vae, tmp_path / "weights" / "text_to_image" / "vae")
    text_to_image.train(Settings(tmp_path, CPU, steps=1, batch=2))
    assert watches == [set()]


def test_image_to_image(tmp_path, monkeypatch, watches):
    small = {"block_out_channels": (16, 16), "norm_num_groups": 4, "attention_head_dim": 2}
    monkeypatch.setattr(image_to_image, "UNET", image_to_image.UNET | small)
    tiny = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 2}
    vae = AutoencoderKL(**(image_autoencoder.VAE | tiny))
    save_pretrained_fp16(vae, tmp_path / "weights" / "text_to_image" / "vae")
    image_to_image.train(Settings(tmp_path, CPU, steps=1, batch=2))
    assert watches == [set()]
