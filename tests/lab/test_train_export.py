import json

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from lab.train.export import save_json, save_module_fp16, save_pretrained_fp16, save_sheet


def test_module_is_written_in_half_precision_and_left_alone(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    size = save_module_fp16(module, tmp_path / "weights")
    stored = load_file(tmp_path / "weights" / "model.safetensors")
    assert stored.keys() == module.state_dict().keys()
    assert stored["0.weight"].dtype == torch.float16
    assert stored["1.num_batches_tracked"].dtype == torch.int64
    torch.testing.assert_close(stored["0.weight"], module[0].weight.half())
    assert module[0].weight.dtype == torch.float32
    assert [path.stat().st_size for path in (tmp_path / "weights").iterdir()] == [size]


def test_pretrained_model_replaces_what_was_there_and_loads_offline(tmp_path):
    model = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    folder = tmp_path / "vae"
    folder.mkdir()
    (folder / "old.safetensors").touch()
    size = save_pretrained_fp16(model, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    assert size == (folder / "diffusion_pytorch_model.safetensors").stat().st_size
    loaded = AutoencoderKL.from_pretrained(folder, local_files_only=True)
    torch.testing.assert_close(
        loaded.decoder.conv_in.weight, model.decoder.conv_in.weight, atol=1e-3, rtol=1e-3
    )
    assert list(tmp_path.iterdir()) == [folder]


def test_text_encoder_is_stored_in_half_and_loaded_in_single_precision(tmp_path):
    config = CLIPTextConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=7,
    )
    save_pretrained_fp16(CLIPTextModel(config), tmp_path / "text_encoder")
    stored = load_file(tmp_path / "text_encoder" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = CLIPTextModel.from_pretrained(tmp_path / "text_encoder", local_files_only=True)
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    assert loaded.config.eos_token_id == 7


def test_a_tensor_that_half_precision_cannot_hold_is_named(tmp_path):
    module = nn.Linear(2, 2)
    nn.init.constant_(module.bias, 1e6)
    with pytest.raises(ValueError, match="tensor bias is not finite"):
        save_module_fp16(module, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_figures_come_back(tmp_path):
    save_json(tmp_path / "runs" / "a.json", {"psnr": 33.5, "styles": {"night": 1}})
    assert json.loads((tmp_path / "runs" / "a.json").read_text()) == {
        "psnr": 33.5,
        "styles": {"night": 1},
    }


def test_sheet_puts_pictures_where_they_belong(tmp_path):
    black, red = torch.zeros(2, 3, 4, 6), torch.zeros(1, 3, 4, 6)
    red[:, 0] = 1.5
    save_sheet(tmp_path / "sheet.png", [black, red], gap=1)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (13, 9)
    assert sheet.getpixel((0, 5)) == (255, 0, 0)
    assert sheet.getpixel((7, 3)) == (0, 0, 0)
    assert sheet.getpixel((12, 8)) == (255, 255, 255)
