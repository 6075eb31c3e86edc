"""A server that writes prompts as it is asked to, and in between misbehaves as it is told to."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from openai_server import Reply, said

WORDS = re.findall(
    r"\w+",
    """
    amber anvil apricot badger barley basalt beacon birch bramble bronze cactus candle canoe
    cedar chalk cinder clover cobalt comet copper coral cradle crimson dagger dahlia drizzle
    ember falcon feather fennel ferry flint gander garnet ginger gravel harbour hazel heron
    indigo iris ivory jasper juniper kettle lantern lichen linen lupin magnet marble meadow
    mitten nectar nettle ochre orchid otter paddle pebble pepper pigeon plaster poplar quartz
    rapids raven ribbon saddle saffron sandal silver sorrel sparrow spindle tarragon thistle
    timber turnip umber velvet violet walnut whistle willow zephyr
    """,
)

TAGS = {"subjects": ["animal"], "style": "macro", "motion": ["flow", "fall"], "moving_objects": 2}

Item = dict[str, Any]


def briefs(body: dict[str, Any]) -> dict[int, str]:
    """Numbers and lines of the briefs that a request ends with."""
    lines = re.findall(r"^(\d+)\. (.*)$", body["messages"][-1]["content"], re.MULTILINE)
    return {int(number): line for number, line in lines}


def text_for(line: str) -> str:
    """A text for a brief: always the same for one, and unlike that for any other."""
    return f"In {' '.join(random.Random(line).sample(WORDS, 14))}."


def items(body: dict[str, Any]) -> list[Item]:
    """What a good writer answers."""
    tags = TAGS if "moving_objects" in body["messages"][-1]["content"] else {}
    return [
        {"number": number, "text": text_for(line), **tags} for number, line in briefs(body).items()
    ]


def answer(prompts: Sequence[Item], reason: str = "stop") -> Reply:
    """A chat completion with some prompts."""
    return said(json.dumps({"prompts": prompts}), reason=reason)


def good(body: dict[str, Any]) -> Reply:
    """Writes all that is asked for."""
    return answer(items(body))


class Writer:
    """Behaves as it is told to the first requests, and well from then on.

    Args:
        moods: What it says to each of the first requests.
    """

    def __init__(self, *moods: Callable[[dict[str, Any]], Reply]) -> None:
        self._moods = list(moods)

    def __call__(self, body: dict[str, Any]) -> Reply:
        return (self._moods.pop(0) if self._moods else good)(body)
