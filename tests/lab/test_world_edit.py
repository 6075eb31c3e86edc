"""Edits change what they say and nothing else, and what they say can be understood."""

import dataclasses

import numpy as np
import pytest
import torch

from lab.world.edit import (
    EDIT_KINDS,
    OF_OBJECTS,
    Edit,
    EditKind,
    instruction,
    motion_text,
    sample_edit,
)
from lab.world.edit_pool import EditPool
from lab.world.measure import measure
from lab.world.parse import parse
from lab.world.render import render
from lab.world.scene import Scene, encode, sample_scenes
from lab.world.shapes import SHAPES
from lab.world.vocabulary import clip_tokenizer


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes(300, 31)


def edits(scenes: list[Scene], kind: EditKind) -> list[Edit]:
    rng = np.random.default_rng(3)
    return [sample_edit(s, rng, phrasing="instruction", kinds=(kind,)) for s in scenes]


def attributes(scene: Scene) -> dict[str, object]:
    """What a picture of a scene shows, by kind of edit."""
    of_bodies = {kind: [getattr(body, kind) for body in scene.bodies] for kind in OF_OBJECTS}
    return {**of_bodies, "style": scene.style, "ground": scene.ground}


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_an_edit_changes_what_it_says_and_nothing_else(scenes: list[Scene], kind: EditKind) -> None:
    for edit in edits(scenes, kind):
        was, wanted = attributes(edit.before), attributes(edit.after)
        assert {name for name in was if was[name] != wanted[name]} == {kind}
        assert edit.before.seed == edit.after.seed
        for index, (old, new) in enumerate(zip(edit.before.bodies, edit.after.bodies, strict=True)):
            assert (old.motion, old.phase) == (new.motion, new.phase)
            if index != edit.body and kind in OF_OBJECTS:
                assert old == new
        names = [(body.colour, body.shape) for body in edit.after.bodies]
        assert len({colour for colour, _ in names}) == len({shape for _, shape in names})


@pytest.mark.parametrize("kind", ["shape", "size"])
def test_objects_stay_whole_in_the_frame(scenes: list[Scene], kind: EditKind) -> None:
    for edit in edits(scenes, kind):
        body = edit.after.bodies[edit.body]
        away = body.reach * np.array([np.cos(body.phase), np.sin(body.phase)])
        centre = np.array(body.place) + away * (body.motion == "orbit")
        assert np.abs(centre).max() + body.radius * SHAPES[body.shape].extent < 1 + 1e-6


@pytest.mark.parametrize("kind", ["colour", "shape", "style", "ground"])
def test_instructions_name_the_new_value(scenes: list[Scene], kind: EditKind) -> None:
    rng = np.random.default_rng(0)
    for edit in edits(scenes, kind):
        text = instruction(edit, rng)
        asked = parse(text)
        body = edit.after.bodies[edit.body]
        match kind:
            case "colour":
                # "make the red circle blue": the new colour is the last that is named.
                assert measure_word(text, "colour") == body.colour, text
            case "shape":
                assert measure_word(text, "shape") == body.shape, text
            case "style":
                # Of night, to be plain may mean to be day, which "turn night into day" says.
                assert edit.after.style == "plain" or asked.style == edit.after.style, text
                assert edit.after.style != "plain" or asked.style in (None, "night"), text
            case "ground":
                same = edit.before.ground.colour == edit.after.ground.colour
                assert same or asked.ground_colour == edit.after.ground.colour, text


def measure_word(text: str, kind: str) -> str | None:
    """The last colour or shape that a text names."""
    found = [getattr(parse(f"a {word} thing").main, kind) for word in text.strip(".").split()]
    return next((name for name in reversed(found) if name is not None), None)


def test_texts_about_motion_ask_a_picture_to_stay(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(1)
    for scene in scenes:
        edit = sample_edit(scene, rng, phrasing="motion")
        assert edit.after is edit.before
        heading, asked = scene.bodies[0].heading, parse(instruction(edit, rng)).main.heading
        assert asked in (heading, None) or len(scene.bodies) == 2
        assert heading is None or asked is not None
    with pytest.raises(ValueError, match="about motion changes nothing"):
        sample_edit(scenes[0], rng, phrasing="motion", kinds=("colour",))


def test_texts_about_motion_say_how_fast(scenes: list[Scene]) -> None:
    fast = sample_scenes(60, 5, motion="left", speed="fast", objects=1)
    rng = np.random.default_rng(1)
    assert all(parse(motion_text(scene, rng)).main.speed == "fast" for scene in fast)


def test_captions_describe_the_wanted_picture(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(2)
    kept = 0
    for scene in scenes:
        edit = sample_edit(scene, rng, phrasing="caption")
        asked, main = parse(instruction(edit, rng)), edit.after.bodies[0]
        assert (asked.main.colour, asked.main.shape) == (main.colour, main.shape)
        kept += edit.after == edit.before
    assert 0.3 < kept / len(scenes) < 0.5


def test_a_coloured_object_is_seen_in_its_new_colour(scenes: list[Scene]) -> None:
    chosen = edits(sample_scenes(12, 8, objects=1, style="plain"), "colour")
    drawn = render(encode([edit.after for edit in chosen]), torch.zeros(12, 1), 128, 128)
    levels = (drawn * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    seen = [measure(frames).colour for frames in levels]
    assert seen == [edit.after.bodies[0].colour for edit in chosen]


def test_instructions_fit_the_context(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(4)
    texts = [instruction(sample_edit(scene, rng), rng) for scene in scenes]
    lengths = [len(ids) for ids in clip_tokenizer()(texts).input_ids]
    assert max(lengths) <= 60
    assert len(set(texts)) > 280


def test_the_pool_holds_the_sampled_edits() -> None:
    pool = EditPool.build(1100, 5, wordings=2)
    assert (len(pool), pool.tokens.shape) == (1100, (1100, 2, 77))
    rng = np.random.default_rng([5, 1003, 2])
    edit = sample_edit(sample_scenes(1, 5, first=1003)[0], rng)
    for side, scene in (("before", edit.before), ("after", edit.after)):
        expected = encode([scene])
        for field in dataclasses.fields(expected):
            held = getattr(getattr(pool, side), field.name)
            assert torch.equal(held[1003], getattr(expected, field.name)[0]), field.name
    text = clip_tokenizer().decode(pool.tokens[1003, 0].long(), skip_special_tokens=True)
    assert (
        text.split()
        == instruction(edit, rng)
        .lower()
        .replace(",", " ,")
        .replace(".", " .")
        .replace("-", " - ")
        .split()
    )
