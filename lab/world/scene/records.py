"""What a scene holds: its objects and its ground, by name and by exact number."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from lab.world.palette import Colour

StyleName = Literal["plain", "night", "sketch", "digital"]
ShapeName = Literal["circle", "square", "triangle", "star", "cross", "ring"]
ColourName = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
SizeName = Literal["small", "medium", "large"]
MotionName = Literal[
    "left", "right", "up", "down", "still", "spin", "grow", "shrink", "bounce", "orbit", "stop"
]
Heading = Literal["left", "right", "up", "down"]
SpeedName = Literal["slow", "normal", "fast"]
GroundKind = Literal["plain", "gradient", "stripes", "dots", "checks", "grain"]
GroundColour = Literal["grey", "brown", "beige", "teal", "navy", "olive", "plum", "black"]

STYLE_NAMES: Final[tuple[StyleName, ...]] = get_args(StyleName)
SHAPE_NAMES: Final[tuple[ShapeName, ...]] = get_args(ShapeName)
COLOUR_NAMES: Final[tuple[ColourName, ...]] = get_args(ColourName)
SIZE_NAMES: Final[tuple[SizeName, ...]] = get_args(SizeName)
MOTION_NAMES: Final[tuple[MotionName, ...]] = get_args(MotionName)
HEADINGS: Final[tuple[Heading, ...]] = get_args(Heading)
SPEED_NAMES: Final[tuple[SpeedName, ...]] = get_args(SpeedName)
GROUND_KINDS: Final[tuple[GroundKind, ...]] = get_args(GroundKind)
GROUND_COLOUR_NAMES: Final[tuple[GroundColour, ...]] = get_args(GroundColour)

CLIP_SECONDS: Final = 2.0
"""Time during which all of a scene stays in the frame."""


@dataclass(frozen=True)
class Body:
    """An object of a scene.

    Attributes:
        shape: Name of the shape.
        colour: Name of the colour.
        size: Name of the size at the start.
        motion: What it does. `stop` moves along `heading` and then stands still.
        speed: Name of the speed, `None` for a still object.
        heading: Direction of travel, `None` where the motion has none.
        rgb: The exact colour, close to the named one.
        radius: Size in units at the start.
        rotation: Angle in radians at the start, clockwise.
        place: Centre (x, y) at the start, in units; of the circle, where the motion is `orbit`.
        rate: Units a second (travel), radians a second (spin, orbit: clockwise if positive;
            bounce), or the relative growth a second (grow, shrink). 0 for a still object.
        reach: Radius of an orbit or height of a bounce in units, or seconds until a stop.
        phase: Angle on the orbit at the start, in radians.
    """

    shape: ShapeName
    colour: ColourName
    size: SizeName
    motion: MotionName
    speed: SpeedName | None
    heading: Heading | None
    rgb: Colour
    radius: float
    rotation: float
    place: tuple[float, float]
    rate: float
    reach: float
    phase: float

    @property
    def velocity(self) -> tuple[float, float]:
        """Units a second along x and y; (0, 0) where there is no heading."""
        x, y = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), None: (0, 0)}[
            self.heading
        ]
        return x * self.rate, y * self.rate


@dataclass(frozen=True)
class Ground:
    """The background.

    Attributes:
        kind: One colour, a gradient between two, or a texture in two shades of one.
        colour: Name of the (first) colour.
        second: Name of the gradient's second colour, else `None`.
        rgb: The two exact colours.
        angle: Direction of the gradient or the texture, in radians.
        period: Distance at which the texture repeats, in units.
        phase: Offset of the texture along its axes, in periods.
    """

    kind: GroundKind
    colour: GroundColour
    second: GroundColour | None
    rgb: tuple[Colour, Colour]
    angle: float
    period: float
    phase: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """A clip's content. The first object is the main one; it is drawn over the second."""

    style: StyleName
    ground: Ground
    bodies: tuple[Body, ...]
    seed: int
    """Seed of the grain, the stars and the blocks' shades."""
