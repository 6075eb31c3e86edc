import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.world.caption import caption
from lab.world.parse import Asked, AskedBody, parse
from lab.world.scene import Body, Scene, sample_scenes

SCENES = sample_scenes(1500, 12)


def said(scene: Scene) -> str:
    return caption(scene, np.random.default_rng(scene.seed))


def expected(body: Body) -> AskedBody:
    return AskedBody(body.shape, body.colour, body.size, body.motion, body.heading, body.speed)


def filled(asked: AskedBody) -> AskedBody:
    """A medium size and a normal speed may go without saying."""
    return AskedBody(
        asked.shape,
        asked.colour,
        asked.size or "medium",
        asked.motion,
        asked.heading,
        asked.speed or (None if asked.motion == "still" else "normal"),
    )


def test_captions_name_all_and_are_read_back() -> None:
    for scene in SCENES:
        text = said(scene)
        asked = parse(text)
        bodies = [body for body in (asked.main, asked.second) if body is not None]
        assert [filled(body) for body in bodies] == [expected(body) for body in scene.bodies], text
        assert asked.style == (None if scene.style == "plain" else scene.style), text
        assert asked.ground == scene.ground.kind, text
        named = {asked.ground_colour, asked.ground_second}
        assert named == {scene.ground.colour, scene.ground.second}, text


def test_captions_are_short_plain_sentences() -> None:
    for scene in SCENES:
        text = said(scene)
        assert re.fullmatch(r"[A-Z][a-z ,-]+[a-z]\.", text), text
        assert len(text.split()) <= 45, text
        assert "  " not in text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text, re.IGNORECASE), text


def test_captions_vary_and_repeat_with_the_seed() -> None:
    rng = np.random.default_rng(0)
    assert len({caption(SCENES[0], rng) for _ in range(200)}) > 100
    assert said(SCENES[0]) == said(SCENES[0])


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", Asked()),
        ("An old man reads a newspaper in the park.", Asked()),
        ("Ein Hund läuft über die Straße.", Asked()),
        (
            "The golden star is travelling from the left to the right on a blue wall",
            Asked(AskedBody("star", "yellow", None, "right", "right"), style=None, ground="plain"),
        ),
        (
            "In Digital World style, a slowly spinning red box next to a huge green ball",
            Asked(
                AskedBody("square", "red", None, "spin", None, "slow"),
                AskedBody("circle", "green", "large"),
                style="digital",
            ),
        ),
        (
            "A small circle that is pink bounces. The circle is fast.",
            Asked(AskedBody("circle", "pink", "small", "bounce", None, "fast")),
        ),
        (
            "A white ring stands still to the left of a gray background at night",
            Asked(
                AskedBody("ring", "white", None, "still"),
                style="night",
                ground="plain",
                ground_colour="grey",
            ),
        ),
    ],
)
def test_other_peoples_words(text: str, asked: Asked) -> None:
    assert parse(text) == asked


@given(st.text(max_size=80) | st.lists(st.sampled_from(said(SCENES[0]).split())).map(" ".join))
def test_any_text_is_read_without_error(text: str) -> None:
    asked = parse(text)
    assert (asked.second is None) or (asked.second.shape is not None)
