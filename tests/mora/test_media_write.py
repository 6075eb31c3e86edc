"""What is written is whole, exact in count and rate, and plays in browsers."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_files import psnr, scene
from PIL import Image

from mora.media import MediaNotFoundError, probe, read_image, read_video, write_image, write_video

RATES = [1, 7, 8, 12.5, 23.976, 24000 / 1001, 29.97, 30000 / 1001, 59.94, 60, 240, 0.5, 1 / 3]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("count", [1, 2, 14])
def test_count_and_rate_are_exact(fps: float, count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, scene(count), fps)
    clip = read_video(path)
    assert len(clip.frames) == count
    assert clip.fps == pytest.approx(fps, rel=1e-12)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.frames == count
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == count / stream.average_rate
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([index / fps for index in range(count)])


def test_little_is_lost(tmp_path: Path) -> None:
    frames = scene(14, 128, 128)
    write_video(tmp_path / "a.mp4", frames, 7)
    assert psnr(read_video(tmp_path / "a.mp4").frames, frames) > 42


def test_colours_are_not_shifted(tmp_path: Path) -> None:
    for colour in [(230, 30, 30), (30, 200, 60), (40, 60, 220), (0, 0, 0), (255, 255, 255)]:
        frames = np.empty((3, 32, 32, 3), np.uint8)
        frames[:] = colour
        write_video(tmp_path / "a.mp4", frames, 8)
        assert np.abs(read_video(tmp_path / "a.mp4").frames.astype(int) - colour).max() <= 3


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    write_video(tmp_path / "a.mp4", frames, 8)
    write_video(tmp_path / "b.mp4", iter(frames), 8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    frames[3, 5, 5] ^= 255
    write_video(tmp_path / "b.mp4", frames, 8)
    assert (tmp_path / "a.mp4").read_bytes() != (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (32, 47), (33, 48), (48, 64)])
def test_odd_sizes_get_their_last_row_and_column_twice(
    size: tuple[int, int], tmp_path: Path
) -> None:
    height, width = size
    frames = scene(3, height, width)
    write_video(tmp_path / "a.mp4", frames, 8)
    clip = read_video(tmp_path / "a.mp4").frames
    assert clip.shape == (3, height + height % 2, width + width % 2, 3)
    assert psnr(clip[:, :height, :width], frames) > 36
    padded = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert psnr(clip, padded) > 36


def test_browsers_can_play_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, scene(), 8)
    data = path.read_bytes()
    assert data.index(b"ftyp") < data.index(b"moov") < data.index(b"mdat")
    assert b"edts" not in data  # playing starts with the first frame, without an edit list
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 5  # BT.601's matrix
        assert stream.codec_context.color_range == 1  # limited
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)


def test_nothing_is_left_of_a_writing_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    write_video(path, scene(), 8)
    before = path.read_bytes()

    def frames() -> Any:
        yield from scene(3)
        raise RuntimeError("the generator of frames died")

    with pytest.raises(RuntimeError, match="died"):
        write_video(path, frames(), 8)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e-5])
def test_a_rate_that_no_video_has(fps: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps is"):
        write_video(tmp_path / "a.mp4", scene(), fps)
    assert not list(tmp_path.iterdir())


def test_frames_that_no_video_has(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    good = scene(2)
    wrong = [
        (good.astype(np.float32), "frame 0 is float32"),
        (good[..., :1], "frame 0 is uint8"),
        ([], "no frames"),
        ([good[0], good[1, :-2]], "frame 1 is"),
        (np.zeros((2, 0, 8, 3), np.uint8), "frame 0 is"),
    ]
    for frames, message in wrong:
        with pytest.raises(ValueError, match=message):
            write_video(path, frames, 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"end in \.mp4"):
        write_video(tmp_path / "a.webm", good, 8)
    assert not list(tmp_path.iterdir())


def test_pictures_come_back_exactly(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
    path = tmp_path / "new" / "a.png"
    write_image(path, picture)
    assert np.array_equal(read_image(path), picture)
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"end in \.png"):
        write_image(tmp_path / "a.jpg", picture)
    for wrong in [picture[..., 0], picture / 255, picture[:0]]:
        with pytest.raises(ValueError, match="a picture is uint8"):
            write_image(tmp_path / "b.png", wrong)


def test_pictures_of_all_kinds_become_rgb(tmp_path: Path) -> None:
    picture = scene(1)[0]
    path = tmp_path / "a.png"

    Image.fromarray(picture[..., 0]).save(path)
    assert np.array_equal(read_image(path), np.repeat(picture[..., :1], 3, axis=2))

    grey = (picture[..., 0].astype(np.uint16) << 8) + 77
    Image.fromarray(grey).save(path)
    assert np.array_equal(read_image(path), np.repeat(picture[..., :1], 3, axis=2))

    layer = Image.fromarray(picture).convert("RGBA")
    layer.putalpha(0)
    layer.save(path)
    assert not read_image(path).any()

    Image.fromarray(picture).quantize(16, dither=Image.Dither.NONE).save(path)
    assert psnr(read_image(path), picture) > 25

    turned = Image.fromarray(picture)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert psnr(read_image(tmp_path / "a.jpg"), np.rot90(picture, -1)) > 35

    with pytest.raises(MediaNotFoundError):
        read_image(tmp_path)


def test_a_long_odd_rate_of_a_written_video_is_probed_as_read(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", scene(5), 10.01)
    info = probe(tmp_path / "a.mp4")
    assert info.fps == 10.01
    assert info.seconds == pytest.approx(5 / 10.01)
