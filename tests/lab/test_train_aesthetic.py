from dataclasses import replace

import pytest
import torch
from scipy import stats

from lab.train.aesthetic import composition, fit, rank_correlation
from lab.world.scene import encode, sample_scenes
from metrics.backbones import aesthetic


def test_composition_rises_with_contrast_balance_and_fitting_size() -> None:
    scene = encode(sample_scenes(1, 0, style="plain", ground="plain", motion="still", objects=1))
    grey, centre = torch.full_like(scene.rgb, 0.5), torch.zeros_like(scene.place)
    third = torch.full_like(scene.radius, 1 / 3)
    best = replace(
        scene,
        rgb=torch.ones_like(grey),
        ground_rgb=torch.zeros_like(grey),
        place=centre,
        radius=third,
    )
    assert composition(best) == pytest.approx(1)
    assert composition(replace(best, place=centre - 1 / 3)) == pytest.approx(1)
    low = replace(best, rgb=grey, ground_rgb=grey)
    assert composition(low) == pytest.approx(0.5)
    aside = replace(best, place=centre + torch.tensor([0.8, -0.1]))
    tiny = replace(best, radius=third / 4)
    assert composition(best) > composition(aside) > 0.7
    assert composition(best) > composition(tiny) > 0.8


def test_an_orbit_counts_where_it_starts() -> None:
    scene = encode(sample_scenes(1, 0, motion="still", objects=1))
    there = replace(scene, place=torch.full_like(scene.place, 0.3))
    orbit = torch.zeros_like(scene.orbit)
    orbit[..., 0] = 0.3
    round_it = replace(scene, place=torch.tensor([[[0.0, 0.3], [0.0, 0.0]]]), orbit=orbit)
    torch.testing.assert_close(composition(round_it), composition(there))


def test_the_fit_finds_a_linear_rule() -> None:
    torch.manual_seed(0)
    width = aesthetic.MINI.settings.embedding
    embeddings = torch.nn.functional.normalize(torch.randn(2000, width), dim=-1)
    rule = torch.randn(width)
    head = fit(embeddings, embeddings @ rule + 5)
    fresh = torch.nn.functional.normalize(torch.randn(50, width), dim=-1)
    torch.testing.assert_close(aesthetic.scores(head, fresh), fresh @ rule + 5, rtol=0, atol=0.02)


def test_rank_correlation_is_spearmans() -> None:
    torch.manual_seed(0)
    first = torch.randn(60)
    second = first + torch.randn(60)
    expected = stats.spearmanr(first.numpy(), second.numpy()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)
