from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import golden, parity
from torch import Tensor, nn

from metrics.backbones import aesthetic
from mora.checkpoints.tensors import WeightsError

CPU = torch.device("cpu")
FOLDER = Path(parity.__file__).parent / "laion_aesthetic_head"
GOLDEN = parity.read("laion_aesthetic_head")


def head(model: str) -> nn.Linear:
    """The published head of a CLIP model; that of ViT-B/32 is only here to be tested with."""
    if model == "vit_l_14":
        return aesthetic.load(aesthetic.OFFICIAL, aesthetic.OFFICIAL_PATH, CPU)
    card = replace(aesthetic.OFFICIAL, settings=aesthetic.HeadSettings(embedding=512), sha256=None)
    return aesthetic.load(card, FOLDER / "sa_0_4_vit_b_32_linear.pth", CPU)


def embeddings(case: str) -> Tensor:
    given = GOLDEN.cases[case]["inputs"]["embeddings"]
    if isinstance(given, dict):
        return torch.from_numpy(golden.noise(**given["args"]))
    return torch.from_numpy(np.load(FOLDER / given.split(",")[0]))


@pytest.mark.parametrize("case", GOLDEN.cases)
def test_scores_equal_the_reference(case: str) -> None:
    scores = aesthetic.scores(head(case.removesuffix("_noise")), embeddings(case))
    torch.testing.assert_close(scores, GOLDEN.expected(case, "score"), rtol=0, atol=5e-6)


def test_published_examples_score_in_the_order_of_their_ratings() -> None:
    scores = aesthetic.scores(head("vit_l_14"), embeddings("vit_l_14"))
    assert (scores.diff() > 1).all()


def test_the_length_of_an_embedding_does_not_count() -> None:
    features = embeddings("vit_l_14_noise")
    found = aesthetic.scores(head("vit_l_14"), 7 * features)
    torch.testing.assert_close(found, aesthetic.scores(head("vit_l_14"), features))


def test_the_head_of_another_clip_is_refused() -> None:
    card = replace(aesthetic.OFFICIAL, sha256=None)
    with pytest.raises(WeightsError, match=r"weight \(1, 512\), expected \(1, 768\)"):
        aesthetic.load(card, FOLDER / "sa_0_4_vit_b_32_linear.pth", CPU)
