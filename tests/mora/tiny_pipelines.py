"""Tiny pipelines of the classes that the agents' settings name, with random weights.

Each builder returns a real pipeline; `saved` keeps it as a folder, as `from_pretrained` reads it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIDE = 32
"""Pixels of the autoencoders' smallest sensible picture."""

_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]


def _alphabet() -> list[str]:
    others = [byte for byte in range(256) if byte not in _BYTES]
    return [chr(byte) for byte in _BYTES] + [chr(256 + i) for i in range(len(others))]


def clip_tokenizer() -> tuple[Any, int]:
    """CLIP's tokenizer with the 256 bytes and no merges, and its number of entries."""
    from transformers import CLIPTokenizer

    entries = [*_alphabet(), *(f"{letter}</w>" for letter in _alphabet())]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    vocabulary["<|startoftext|>"] = len(vocabulary)
    vocabulary["<|endoftext|>"] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77), len(vocabulary)


def byte_tokenizer(*special: str, cls: Any = None) -> tuple[Any, int]:
    """A tokenizer of bytes with special tokens, for text encoders of every other kind."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>", *special]
    vocabulary = {entry: index for index, entry in enumerate([*names, *_alphabet()])}
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if cls is not None:
        made = cls(vocab=vocabulary, merges=[], **marks)
        made.add_special_tokens({"additional_special_tokens": list(special)})
        return made, len(vocabulary)
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        **marks,
        additional_special_tokens=list(special),
        model_max_length=512,
    )
    return made, len(vocabulary)


def _clip_text(width: int, words: int, *, projected: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5(width: int, words: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=words, d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=2)
    )


def _clip_vision(side: int, *, width: int = 16, projected: bool = False) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=side // 2,
    )
    return (CLIPVisionModelWithProjection if projected else CLIPVisionModel)(config)


def _clip_images(side: int) -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def _vae(channels: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=channels,
        **more,
    )


def _xl_unet(cross: int, added: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        cross_attention_dim=cross,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + added * 4,
    )


def sdxl() -> Any:
    """SDXL's base: two text encoders of CLIP, six numbers about the picture."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer, words = clip_tokenizer()
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip_text(16, words, projected=False),
        text_encoder_2=_clip_text(16, words, projected=True),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_xl_unet(32, 6),
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )


def sdxl_refiner() -> Any:
    """SDXL's refiner: the second text encoder alone, and a score of beauty among five numbers."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    tokenizer, words = clip_tokenizer()
    return StableDiffusionXLImg2ImgPipeline(
        vae=_vae(),
        text_encoder=None,
        text_encoder_2=_clip_text(16, words, projected=True),
        tokenizer=None,
        tokenizer_2=tokenizer,
        unet=_xl_unet(16, 5),
        scheduler=EulerDiscreteScheduler(),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )


def pix2pix() -> Any:
    """InstructPix2Pix, with a safety checker that refuses nothing until it is told to."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    tokenizer, words = clip_tokenizer()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 16}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(
            text_config=text | {"num_attention_heads": 2},
            vision_config=vision,
            projection_dim=16,
        )
    )
    checker.concept_embeds_weights.data.fill_(2.0)  # no likeness is as large
    checker.special_care_embeds_weights.data.fill_(2.0)
    return StableDiffusionInstructPix2PixPipeline(
        vae=_vae(),
        text_encoder=_clip_text(16, words, projected=False),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=SIDE // 2,
            in_channels=8,
            out_channels=4,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            cross_attention_dim=16,
        ),
        scheduler=EulerAncestralDiscreteScheduler(),
        safety_checker=checker,
        feature_extractor=_clip_images(SIDE),
    )


def _flux_parts(*, guided: bool) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    tokenizer, words = clip_tokenizer()
    tokenizer_2, words_2 = byte_tokenizer()
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": _vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        "text_encoder": _clip_text(16, words, projected=False),
        "tokenizer": tokenizer,
        "text_encoder_2": _t5(16, words_2),
        "tokenizer_2": tokenizer_2,
        "transformer": FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=guided,
            axes_dims_rope=(4, 4, 8),
        ),
    }


def flux() -> Any:
    """FLUX.1 schnell, which is not told how far to follow the text."""
    from diffusers import FluxPipeline

    return FluxPipeline(**_flux_parts(guided=False))


def flux_kontext() -> Any:
    """FLUX.1 Kontext, which reads the picture beside what it draws."""
    from diffusers import FluxKontextPipeline

    return FluxKontextPipeline(**_flux_parts(guided=True))


def sd3() -> Any:
    """Stable Diffusion 3: three text encoders."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    tokenizer, words = clip_tokenizer()
    tokenizer_3, words_3 = byte_tokenizer()
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=SIDE // 2,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=_clip_text(16, words, projected=True),
        tokenizer=tokenizer,
        text_encoder_2=_clip_text(16, words, projected=True),
        tokenizer_2=tokenizer,
        text_encoder_3=_t5(32, words_3),
        tokenizer_3=tokenizer_3,
    )


_QWEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
)


def _qwen_parts() -> dict[str, Any]:
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageTransformer2DModel,
    )
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2Tokenizer,
    )

    tokenizer, _ = byte_tokenizer(*_QWEN_TOKENS, cls=Qwen2Tokenizer)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in _QWEN_TOKENS}
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
            "vocab_size": len(tokenizer),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": tokenizer,
        "transformer": QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
    }


def qwen_image() -> Any:
    """Qwen-Image: a language model reads the text."""
    from diffusers import QwenImagePipeline

    return QwenImagePipeline(**_qwen_parts())


def qwen_image_edit() -> Any:
    """Qwen-Image-Edit: the language model sees the picture, too."""
    from diffusers import QwenImageEditPipeline
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    parts = _qwen_parts()
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 28**2, "longest_edge": 56**2}),
        tokenizer=parts["tokenizer"],
        video_processor=Qwen2VLVideoProcessor(),
    )
    return QwenImageEditPipeline(**parts, processor=processor)


def svd() -> Any:
    """Stable Video Diffusion."""
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )

    return StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            latent_channels=4,
        ),
        image_encoder=_clip_vision(224, projected=True),
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
            num_frames=4,
        ),
        scheduler=EulerDiscreteScheduler(
            prediction_type="v_prediction", use_karras_sigmas=True, sigma_min=0.002, sigma_max=80.0
        ),
        feature_extractor=_clip_images(224),
    )


def ltx() -> Any:
    """LTX-Video: eight frames and 32 pixels a step in the published one, four and four here."""
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXImageToVideoPipeline,
        LTXVideoTransformer3DModel,
    )

    tokenizer, words = byte_tokenizer()
    return LTXImageToVideoPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False),
            decoder_inject_noise=(False,) * 5,
            upsample_residual=(False,) * 4,
            upsample_factor=(1,) * 4,
            patch_size=1,
            patch_size_t=1,
        ),
        text_encoder=_t5(32, words),
        tokenizer=tokenizer,
        transformer=LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=1,
            caption_channels=32,
        ),
    )


def wan() -> Any:
    """Wan 2.1, which reads the picture through an encoder of CLIP, too."""
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanImageToVideoPipeline,
        WanTransformer3DModel,
    )

    tokenizer, words = byte_tokenizer()
    return WanImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=_t5(16, words),
        vae=AutoencoderKLWan(
            base_dim=4,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        image_processor=_clip_images(SIDE),
        image_encoder=_clip_vision(SIDE),
        transformer=WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=36,
            out_channels=16,
            text_dim=16,
            ffn_dim=16,
            num_layers=1,
            rope_max_seq_len=32,
            image_dim=16,
        ),
    )


def cogvideox() -> Any:
    """CogVideoX."""
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXTransformer3DModel,
    )

    tokenizer, words = byte_tokenizer()
    return CogVideoXImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=_t5(16, words),
        vae=AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8,
            out_channels=4,
            time_embed_dim=4,
            text_embed_dim=16,
            num_layers=1,
            sample_height=SIDE // 8,
            sample_width=SIDE // 8,
            sample_frames=9,
            use_rotary_positional_embeddings=True,
        ),
        scheduler=CogVideoXDDIMScheduler(),
    )


def hunyuan() -> Any:
    """HunyuanVideo image-to-video: a language model sees the picture and reads the text."""
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoImageToVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    tokenizer, words = byte_tokenizer("<image>")
    tokenizer_2, words_2 = clip_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=16,
    )
    text = LlamaConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        pad_token_id=0,
    )
    return HunyuanVideoImageToVideoPipeline(
        text_encoder=LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=vision,
                text_config=text,
                image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
                pad_token_id=0,
            )
        ),
        tokenizer=tokenizer,
        transformer=HunyuanVideoTransformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            guidance_embeds=False,
            text_embed_dim=16,
            pooled_projection_dim=16,
            rope_axes_dim=(2, 2, 4),
            image_condition_type="latent_concat",
        ),
        vae=AutoencoderKLHunyuanVideo(
            latent_channels=4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=_clip_text(16, words_2, projected=False),
        tokenizer_2=tokenizer_2,
        image_processor=_clip_images(SIDE),
    )


def saved(build: Callable[[], Any], folder: Path, seed: int = 0) -> Path:
    """Saves what a builder builds, with weights that follow from the seed."""
    torch.manual_seed(seed)
    build().save_pretrained(folder, safe_serialization=True)
    return folder
