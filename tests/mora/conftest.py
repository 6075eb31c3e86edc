"""Tiny pipelines of the classes that Mora uses, with random weights, saved as real folders."""

import json
from pathlib import Path

import pytest
import torch

SIDE = 32
FRAMES = 4


def _tokenizer(folder: Path):
    """CLIP's tokenizer with the 256 bytes and no merges."""
    from transformers import CLIPTokenizer

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    entries = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    vocabulary["<|startoftext|>"] = len(vocabulary)
    vocabulary["<|endoftext|>"] = len(vocabulary)
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77), len(vocabulary)


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer, words = _tokenizer(tmp_path_factory.mktemp("tokenizer") / "clip")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
        ),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=SIDE // 2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=16 + 6 * 4,
        ),
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    folder = tmp_path_factory.mktemp("weights") / "text_to_image"
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def tiny_svd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(1)
    pipeline = StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            latent_channels=4,
        ),
        image_encoder=CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=16,
                intermediate_size=16,
                projection_dim=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=224,
                patch_size=56,
            )
        ),
        unet=UNetSpatioTemporalConditionModel(
            sample_size=SIDE // 2,
            block_out_channels=(32, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            num_attention_heads=2,
            cross_attention_dim=16,
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24,
            num_frames=FRAMES,
        ),
        scheduler=EulerDiscreteScheduler(
            prediction_type="v_prediction", use_karras_sigmas=True, sigma_min=0.002, sigma_max=80.0
        ),
        feature_extractor=CLIPImageProcessor(crop_size={"height": 224, "width": 224}),
    )
    folder = tmp_path_factory.mktemp("weights") / "image_to_video"
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def tiny_agents(tiny_sdxl: Path, tiny_svd: Path) -> dict[str, object]:
    """Settings of agents as in `mora/conf/agents`, on the tiny pipelines."""
    return {
        "name": "tiny",
        "prompt": {"agent": "grammar"},
        "text_to_image": {
            "name": "sdxl_tiny",
            "pipeline": "StableDiffusionXLPipeline",
            "weights": str(tiny_sdxl),
            "load": {"add_watermarker": False},
            "call": {
                "num_inference_steps": 2,
                "guidance_scale": 5.0,
                "height": SIDE,
                "width": SIDE,
            },
            "batch_size": 4,
        },
        "image_to_video": {
            "name": "svd_tiny",
            "pipeline": "StableVideoDiffusionPipeline",
            "weights": str(tiny_svd),
            "call": {
                "num_inference_steps": 2,
                "height": SIDE,
                "width": SIDE,
                "num_frames": FRAMES,
                "fps": 7,
                "motion_bucket_id": 127,
            },
            "fps": 7,
            "batch_size": 4,
        },
    }
