"""Textured motion whose flow is known exactly, made on the device.

A scene is a background and up to four shapes before it, each with a texture (a photograph, noise,
gratings, or none) and a motion of its own. Motion is straight in time: what is at u in the middle
frame is at u + (t - 1/2) v(u) at time t, where v is a smooth field: a shift, a turn, a zoom and
gentle waves. The flow from the middle frame is therefore v/2 to either side, by construction; only
the two outer frames need the inverse of that map, which a few fixed-point steps give to far below
a hundredth of a pixel.

Shapes are fixed by the arguments and no value is looked at, so that a training step that draws its
own batch can be captured as a CUDA graph. Randomness is torch's own, on the device.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LAYERS = 5
"""The background and the most shapes before it."""

FASTEST = 24.0
"""Longest shift of a shape between the outer frames, in pixels. Small ones are more frequent."""

_INVERSE_STEPS = 5
_WAVES, _LOBES, _SIDES, _GRATINGS = 2, 4, 6, 3
_NOISES = 8


@dataclass(frozen=True)
class MotionBatch:
    """Frames of moving textures and their true motion.

    Attributes:
        frames: (B, 3, 3, H, W), RGB in [0, 1], at times 0, 1/2 and 1.
        flow: (B, 2, H, W), pixels, x then y: the motion from the first to the last frame of what
            each pixel of the first shows.
        valid: (B, 1, H, W), 1 where that motion ends inside the last frame, else 0.
        halfway: (B, 4, H, W), the motion of what each pixel of the middle frame shows: to the
            first frame, then to the last.
    """

    frames: Tensor
    flow: Tensor
    valid: Tensor
    halfway: Tensor


class TexturedMotion:
    """Draws scenes of textured motion.

    Args:
        tiles: uint8 (N, 3, S, S), pictures to take textures from; pictures of noise are added.
        device: Where scenes are drawn.
    """

    def __init__(self, tiles: Tensor, device: torch.device) -> None:
        pictures = torch.cat([tiles.float() / 255, _noises(_NOISES, tiles.shape[-1])])
        self.volume = pictures.to(device).transpose(0, 1)[None].contiguous()

    @torch.no_grad()
    def draw(self, batch: int, height: int, width: int) -> MotionBatch:
        """Draws `batch` scenes of `height` x `width` pixels."""
        with torch.autocast(self.volume.device.type, enabled=False):
            return render(self.sample(batch, height, width), height, width)

    def sample(self, batch: int, height: int, width: int) -> "Layers":
        """Draws what `batch` scenes consist of, not yet as pixels."""
        background = torch.zeros(batch, LAYERS, device=self.volume.device)
        background[:, 0] = 1
        plain = _chance(0.25, background)
        return Layers(
            Fields.sample(background, plain, height, width),
            Outlines.sample(background, min(height, width)),
            Textures.sample(plain, self.volume),
        )


@dataclass(frozen=True)
class Fields:
    """Motion of B x L layers. Places are in pixels from the picture's centre.

    Attributes:
        centre: (B, L, 2), where the layer is in the middle frame.
        shift: (B, L, 2), velocity v at the centre, in pixels between the outer frames.
        gradient: (B, L, 2, 2), growth of v away from the centre: turn and zoom.
        frequency: (B, L, W, 2), of the waves of v, in radians a pixel.
        phase: (B, L, W), of the waves.
        amplitude: (B, L, W, 2), of the waves, in pixels.
    """

    centre: Tensor
    shift: Tensor
    gradient: Tensor
    frequency: Tensor
    phase: Tensor
    amplitude: Tensor

    @staticmethod
    def sample(background: Tensor, plain: Tensor, height: int, width: int) -> "Fields":
        """Draws motion for layers (B, L); a plain background is still, for none could be seen."""
        still_background = torch.maximum(plain, _chance(0.3, plain))
        moving = 1 - torch.lerp(_chance(0.1, plain), still_background, background)
        fastest = FASTEST * (1 - 0.4 * background)
        speed = moving * fastest * _uniform(0, 1, background) ** 2
        turn, zoom = moving * _normal(0.06, background), moving * _normal(0.04, background)
        length = _uniform(40, 160, background, _WAVES)
        amplitude = moving[..., None] * _normal(0.04, background, _WAVES) * length / math.tau
        return Fields(
            centre=_uniform(-0.45, 0.45, background, 2) * _pair(width, height, background),
            shift=speed[..., None] * _directions(background),
            gradient=torch.stack([zoom, -turn, turn, zoom], dim=-1).unflatten(-1, (2, 2)),
            frequency=math.tau / length[..., None] * _directions(background, _WAVES),
            phase=_uniform(0, math.tau, background, _WAVES),
            amplitude=amplitude[..., None] * _directions(background, _WAVES),
        )

    def velocity(self, places: Tensor) -> Tensor:
        """Motion v at `places` (B, L, N, 2) of the middle frame, in pixels."""
        v = self.shift[:, :, None] + _times(self.gradient, places - self.centre[:, :, None])
        for wave in range(_WAVES):
            angle = (places * self.frequency[:, :, wave, None]).sum(-1)
            v = (
                v
                + torch.sin(angle + self.phase[:, :, wave, None])[..., None]
                * (self.amplitude[:, :, wave, None])
            )
        return v

    def sources(self, places: Tensor, elapsed: float) -> Tensor:
        """Where what is at `places` (N, 2), `elapsed` after the middle frame, is in that frame.

        Returns:
            (B, L, N, 2): u with u + elapsed v(u) = places.
        """
        u = places - elapsed * self.shift[:, :, None]
        for _ in range(_INVERSE_STEPS):
            u = places - elapsed * self.velocity(u)
        return u


@dataclass(frozen=True)
class Outlines:
    """Shapes of B x L layers: blobs and convex polygons.

    Attributes:
        background: (B, L), 1 where the layer covers all.
        radius: (B, L), in pixels; 0 where the layer is absent.
        axes: (B, L, 2, 2), from pixels to the shape's own axes, turned and stretched.
        lobes: (B, L, K), relative amplitudes of a blob's waves, of 2 to K + 1 periods.
        phase: (B, L, K), of those waves.
        normals: (B, L, S, 2), of a polygon's sides.
        distances: (B, L, S), of the sides from the centre, relative to the radius.
        angular: (B, L), 1 for a polygon, 0 for a blob.
        softness: (B, L), width of the edge in pixels.
    """

    background: Tensor
    radius: Tensor
    axes: Tensor
    lobes: Tensor
    phase: Tensor
    normals: Tensor
    distances: Tensor
    angular: Tensor
    softness: Tensor

    @staticmethod
    def sample(background: Tensor, side: int) -> "Outlines":
        """Draws outlines for layers (B, L) of pictures whose shorter side is `side`."""
        device = background.device
        present = torch.arange(LAYERS, device=device) <= torch.randint(
            1, LAYERS, (len(background), 1), device=device
        )
        periods = torch.arange(2, 2 + _LOBES, device=device)
        wobble = _uniform(0, 1, background, 1) * _normal(0.35, background, _LOBES) / periods
        corners = torch.randint(3, _SIDES + 1, (*background.shape, 1), device=device)
        stretch = torch.exp(_normal(0.25, background))
        return Outlines(
            background=background,
            radius=present * side * (0.06 + 0.3 * _uniform(0, 1, background) ** 1.5),
            axes=torch.stack([stretch, 1 / stretch], dim=-1)[..., None]
            * _rotations(_uniform(0, math.tau, background)),
            lobes=wobble,
            phase=_uniform(0, math.tau, background, _LOBES),
            normals=_unit(math.tau * torch.arange(_SIDES, device=device) / corners),
            distances=_uniform(0.65, 1, background, _SIDES),
            angular=_chance(0.4, background),
            softness=_uniform(0.7, 1.8, background),
        )

    def coverage(self, offsets: Tensor) -> Tensor:
        """How much of each place (B, L, N, 2), from the layer's centre, is covered: (B, L, N)."""
        own = _times(self.axes, offsets)
        x, y = own.unbind(-1)
        angle, relative = torch.atan2(y, x), torch.ones_like(x)
        for lobe in range(_LOBES):
            wave = torch.cos((lobe + 2) * angle + self.phase[:, :, lobe, None])
            relative = relative + self.lobes[:, :, lobe, None] * wave
        radius = self.radius[..., None]
        blob = radius * relative - own.norm(dim=-1)
        polygon = torch.full_like(blob, torch.inf)
        for side in range(_SIDES):
            reached = (own * self.normals[:, :, side, None]).sum(-1)
            polygon = torch.minimum(polygon, radius * self.distances[:, :, side, None] - reached)
        inside = torch.lerp(blob, polygon, self.angular[..., None])
        covered = (inside / self.softness[..., None] + 0.5).clamp(0, 1)
        covered = covered * (radius > 0)
        return torch.maximum(covered, self.background[..., None])


@dataclass(frozen=True)
class Textures:
    """Textures of B x L layers.

    Attributes:
        volume: (1, 3, P, S, S), pictures as one volume whose depth is the picture: sampling it
            needs no copy of each layer's picture.
        depth: (B, L), place of the layer's picture in the volume, in [-1, 1].
        offset: (B, L, 2), place in the picture of the frame's centre, in [-1, 1].
        axes: (B, L, 2, 2), from pixels to the picture's places.
        frequency: (B, L, G, 2), of the gratings, in radians a pixel.
        phase: (B, L, G), of the gratings.
        stripes: (B, L, G, 3), colours of the gratings.
        mixture: (B, L), share of the gratings.
        contrast: (B, L, 3), of each channel; 0 leaves a plain colour.
        colour: (B, L, 3), what a plain layer shows.
    """

    volume: Tensor
    depth: Tensor
    offset: Tensor
    axes: Tensor
    frequency: Tensor
    phase: Tensor
    stripes: Tensor
    mixture: Tensor
    contrast: Tensor
    colour: Tensor

    @staticmethod
    def sample(plain: Tensor, volume: Tensor) -> "Textures":
        """Draws textures for layers (B, L); `plain` is 1 where there is to be none."""
        pictures, size = volume.shape[2], volume.shape[-1]
        picture = torch.randint(pictures, plain.shape, device=plain.device)
        zoom = 2 / (size - 1) * _uniform(0.5, 1.25, plain)
        strength = (1 - plain) * _uniform(0.3, 1.1, plain)
        return Textures(
            volume=volume,
            depth=2 * picture / max(pictures - 1, 1) - 1,
            offset=_uniform(-0.6, 0.6, plain, 2),
            axes=zoom[..., None, None] * _rotations(_uniform(0, math.tau, plain)),
            frequency=math.tau
            / _uniform(4, 40, plain, _GRATINGS, 1)
            * _directions(plain, _GRATINGS),
            phase=_uniform(0, math.tau, plain, _GRATINGS),
            stripes=_uniform(-0.3, 0.3, plain, _GRATINGS, 3),
            mixture=_chance(0.3, plain) * _uniform(0, 1, plain),
            contrast=_uniform(0.6, 1.3, plain, 3) * strength[..., None],
            colour=_uniform(0.15, 0.85, plain, 3),
        )

    def colours(self, places: Tensor) -> Tensor:
        """RGB in [0, 1] at `places` (B, L, N, 2), in pixels: (B, L, N, 3)."""
        in_picture = self.offset[:, :, None] + _times(self.axes, places)
        depth = self.depth[:, :, None, None].expand(*places.shape[:3], 1)
        grid = torch.cat([in_picture, depth], dim=-1).flatten(0, 1)[None, :, None]
        photograph = F.grid_sample(
            self.volume, grid, mode="bilinear", padding_mode="reflection", align_corners=True
        )
        photograph = photograph[0, :, :, 0].movedim(0, -1).view(*places.shape[:3], 3)
        gratings = torch.full_like(photograph, 0.5)
        for grating in range(_GRATINGS):
            angle = (places * self.frequency[:, :, grating, None]).sum(-1)
            wave = torch.sin(angle + self.phase[:, :, grating, None])
            gratings = gratings + wave[..., None] * self.stripes[:, :, grating, None]
        texture = torch.lerp(photograph, gratings, self.mixture[..., None, None])
        colour = self.colour[:, :, None] + self.contrast[:, :, None] * (texture - 0.5)
        return colour.clamp(0, 1)


@dataclass(frozen=True)
class Layers:
    """B scenes of L layers, from the background to the front."""

    fields: Fields
    outlines: Outlines
    textures: Textures


def render(layers: Layers, height: int, width: int) -> MotionBatch:
    """Draws scenes at times 0, 1/2 and 1, with their motion."""
    device = layers.fields.shift.device
    y, x = torch.meshgrid(
        torch.arange(height, device=device) - (height - 1) / 2,
        torch.arange(width, device=device) - (width - 1) / 2,
        indexing="ij",
    )
    frame = torch.stack([x, y], dim=-1).view(-1, 2)
    before, after = layers.fields.sources(frame, -0.5), layers.fields.sources(frame, 0.5)
    sources = torch.cat([before, frame.expand_as(before), after], dim=2)
    velocity = layers.fields.velocity(sources)
    coverage = layers.outlines.coverage(sources - layers.fields.centre[:, :, None])
    colours = layers.textures.colours(sources)

    picture, motion = colours[:, 0], velocity[:, 0]
    for layer in range(1, coverage.shape[1]):
        covered = coverage[:, layer, :, None]
        picture = torch.lerp(picture, colours[:, layer], covered)
        motion = torch.where(covered > 0.5, velocity[:, layer], motion)
    size = (3, height, width)
    frames = picture.unflatten(1, size).permute(0, 1, 4, 2, 3)
    first, middle, _ = motion.unflatten(1, size).permute(0, 1, 4, 2, 3).unbind(1)
    end = frame.view(height, width, 2).permute(2, 0, 1) + first
    valid = (end[:, :1].abs() <= (width - 1) / 2) & (end[:, 1:].abs() <= (height - 1) / 2)
    return MotionBatch(frames, first, valid.float(), torch.cat([-middle / 2, middle / 2], dim=1))


def _noises(count: int, size: int) -> Tensor:
    """Pictures of noise (count, 3, size, size) in [0, 1], from fine to coarse, always the same."""
    generator = torch.Generator().manual_seed(0)
    pictures = []
    for index in range(count):
        picture = torch.full((1, 3, size, size), 0.5)
        for octave in range(1, 7):
            coarse = torch.randn(1, 3, size >> octave, size >> octave, generator=generator)
            weight = 0.16 * 2 ** ((octave - 3) * (index / (count - 1) - 0.3))
            picture += weight * F.interpolate(coarse, (size, size), mode="bicubic")
        pictures.append(picture.clamp(0, 1))
    return torch.cat(pictures)


def _uniform(low: float, high: float, layers: Tensor, *size: int) -> Tensor:
    """Uniform numbers of the shape of `layers` and `size`."""
    return low + (high - low) * torch.rand(*layers.shape, *size, device=layers.device)


def _normal(scale: float, layers: Tensor, *size: int) -> Tensor:
    """Normal numbers, without the far tails, which would fold the picture."""
    return scale * torch.randn(*layers.shape, *size, device=layers.device).clamp(-2.5, 2.5)


def _chance(probability: float, layers: Tensor) -> Tensor:
    """1 with the given probability, else 0."""
    return (torch.rand(layers.shape, device=layers.device) < probability).float()


def _directions(layers: Tensor, *size: int) -> Tensor:
    """Unit vectors of all directions."""
    return _unit(_uniform(0, math.tau, layers, *size))


def _unit(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def _rotations(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def _pair(x: float, y: float, like: Tensor) -> Tensor:
    """The vector (x, y), made on the device: a copy from the host could not be captured."""
    return torch.cat([like.new_full((1,), x), like.new_full((1,), y)])


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (B, L, 2, 2) times vectors (B, L, N, 2); not by `@`, which may round to TF32."""
    return (matrices[:, :, None] * vectors[..., None, :]).sum(-1)
