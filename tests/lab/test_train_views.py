import torch
import torch.nn.functional as F

from lab.train.views import cut_views


def test_a_view_of_all_is_the_metrics_resize() -> None:
    pictures = torch.rand(2, 3, 40, 40)
    whole = cut_views(pictures, 30, (1.0, 1.0))
    expected = F.interpolate(pictures, (30, 30), mode="bicubic", align_corners=False)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


def test_views_stay_within_the_picture_and_have_the_size_asked_for() -> None:
    """On a ramp, a view's ends tell where it was cut; its slope tells how large it is."""
    torch.manual_seed(0)
    ramp = ((torch.arange(64) + 0.5) / 64).expand(200, 1, 64, 64)
    views = cut_views(ramp, 16, (0.25, 0.5))
    rows = views[:, 0, 8]
    torch.testing.assert_close(views[:, 0, 0], rows, rtol=0, atol=1e-5)  # constant along y
    sizes = (rows[:, -1] - rows[:, 0]) * 16 / 15
    assert sizes.min() + 1e-4 >= 0.25
    assert sizes.max() <= 0.5 + 1e-4
    assert sizes.min() < 0.27
    assert sizes.max() > 0.48
    assert rows.min() > 0
    assert rows.max() < 1
    assert rows[:, 0].min() < 0.1
    assert rows[:, -1].max() > 0.9


def test_what_shares_a_first_index_is_cut_in_one_place() -> None:
    torch.manual_seed(0)
    frames = torch.rand(3, 1, 24, 24).repeat(1, 6, 1, 1)
    views = cut_views(frames, 12, (0.4, 0.9))
    assert torch.equal(views, views[:, :1].expand_as(views))
