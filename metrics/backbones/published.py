"""The published weights that metrics use: where they are, how large, under which licence.

Nothing here loads a network, so that the list of checkpoints is quick. The network of each and
its preprocessing are in the module that makes a card of it.

Digests are those that the publisher states (in the file's address or name, or the hub as that of
its large file). DINO's and RAFT's publishers state none; theirs are what independent downloads of
the same address have in common.
"""

from typing import Final

from metrics.backbones.card import Address, HubFile, Published

_CLIP: Final = "https://openaipublic.azureedge.net/clip/models"
_CLIP_B32: Final = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L14: Final = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"

DINO: Final = Published(
    name="dino_vitb16",
    origin=Address(
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
    ),
    size=343_242_485,
    sha256="bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
    licence="Apache-2.0",
    source="arXiv:2104.14294",
    used_by=("object_consistency",),
)

CLIP_B32: Final = Published(
    name="clip_vitb32",
    origin=Address(f"{_CLIP}/{_CLIP_B32}/ViT-B-32.pt"),
    size=353_976_522,
    sha256=_CLIP_B32,
    licence="MIT",
    source="arXiv:2103.00020",
    used_by=("background_consistency", "appearance_style"),
)

CLIP_L14: Final = Published(
    name="clip_vitl14",
    origin=Address(f"{_CLIP}/{_CLIP_L14}/ViT-L-14.pt"),
    size=932_768_134,
    sha256=_CLIP_L14,
    licence="MIT",
    source="arXiv:2103.00020",
    used_by=("aesthetic_quality",),
)

AESTHETIC: Final = Published(
    name="laion_aesthetic_vitl14",
    origin=Address(
        "https://github.com/LAION-AI/aesthetic-predictor/raw/"
        "6d122adad522ab246644d9dc1c6d7a3810ee255f/sa_0_4_vit_l_14_linear.pth"
    ),
    size=4_071,
    sha256="2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
    licence="MIT",
    source="https://github.com/LAION-AI/aesthetic-predictor",
    used_by=("aesthetic_quality",),
    packaged="data/laion_aesthetic/sa_0_4_vit_l_14_linear.pth",
)

AMT_S: Final = Published(
    name="amt_s",
    origin=HubFile("lalala125/AMT", "amt-s.pth", "31d0420ef7788f6dc22aad3445148705007141bb"),
    size=12_038_359,
    sha256="07e7e03405c213fe4405678db9b42d05671e48c56faf6a441b99bb0047d3cf77",
    licence="CC-BY-NC-SA-4.0",
    source="MCG-NKU/AMT, AMT-S trained on Vimeo90K (arXiv:2304.09790)",
    used_by=("motion_smoothness",),
    key="state_dict",
)

RAFT: Final = Published(
    name="raft_things",
    origin=Address(
        "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip",
        member="models/raft-things.pth",
    ),
    size=21_108_000,
    sha256="fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
    licence="BSD-3-Clause",
    source="princeton-vl/RAFT, trained on FlyingChairs and FlyingThings3D (arXiv:2003.12039)",
    used_by=("dynamic_degree",),
)

MUSIQ: Final = Published(
    name="musiq_spaq",
    origin=HubFile(
        "chaofengc/IQA-PyTorch-Weights",
        "musiq_spaq_ckpt-358bb6af.pth",
        "fad4d56d92d1f0c4f954a3261f8092aa80783eea",
    ),
    size=108_610_983,
    sha256="358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
    licence="CC-BY-NC-SA-4.0",
    source="google-research/musiq trained on SPAQ, as converted by pyiqa (arXiv:2108.05997)",
    used_by=("imaging_quality",),
)

VICLIP: Final = Published(
    name="viclip_l",
    origin=HubFile(
        "OpenGVLab/VBench_Used_Models",
        "ViClip-InternVid-10M-FLT.pth",
        "83290ee59b4e2c0a4d198857edbc79dd186b8d44",
    ),
    size=1_710_545_812,
    sha256="7a4d6ad6eac6632db3693f4b97f9f8f6445b65b1e139a6fc6686150522238c56",
    licence="Apache-2.0",
    source="arXiv:2307.06942",
    used_by=("temporal_style", "tcon", "tmean"),
    key="model",
)

_MINILM: Final = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"

MINILM: Final = Published(
    name="all_minilm_l6_v2",
    origin=HubFile("sentence-transformers/all-MiniLM-L6-v2", "model.safetensors", _MINILM),
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    source="arXiv:1908.10084, arXiv:2002.10957",
    used_by=("video_ti",),
)

MINILM_TOKENIZER: Final = Published(
    name="all_minilm_l6_v2_tokenizer",
    origin=HubFile("sentence-transformers/all-MiniLM-L6-v2", "tokenizer.json", _MINILM),
    size=466_247,
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    licence="Apache-2.0",
    source="arXiv:1810.04805",
    used_by=("video_ti",),
)

PUBLISHED: Final = (
    DINO,
    CLIP_B32,
    CLIP_L14,
    AESTHETIC,
    AMT_S,
    RAFT,
    MUSIQ,
    VICLIP,
    MINILM,
    MINILM_TOKENIZER,
)
"""All of them; their names are unique."""
