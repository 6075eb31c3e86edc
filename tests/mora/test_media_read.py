"""What a reader gets from each kind of file: the right frames, in order, at the right rate."""

import hashlib
import json
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import cut_copy, encode, folder_of, moving_picture, psnr, rotated, scene
from PIL import Image

from mora.media import DECODER, FOLDER_FPS, probe, read_frames, read_video

GOLDENS = Path(__file__).parent.parent / "goldens" / "vbench_scores"
CLIPS = ["bigbuckbunny_24f_180x320_25fps.mp4", "clip_12f_192x128_10fps.mp4"]


@pytest.mark.parametrize("name", CLIPS)
def test_pixels_are_those_of_opencv_and_decord(name: str) -> None:
    golden = json.loads((GOLDENS / "cases.json").read_text())["decoding"][name]
    clip = read_video(GOLDENS / name)
    digest = hashlib.sha256(clip.frames.tobytes()).hexdigest()
    assert digest == golden["sha256_opencv_rgb"] == golden["sha256_decord_rgb"]
    assert len(clip.frames) == golden["frames"]["decord"]
    assert clip.fps == golden["fps"]["opencv"]


KINDS = {
    "mp4": ("a.mp4", "libx264", "yuv420p", {}),
    "mp4 with B-frames": ("a.mp4", "libx264", "yuv420p", {"bf": "3", "g": "5"}),
    "mp4 in 10 bit": ("a.mp4", "libx264", "yuv420p10le", {}),
    "mp4 of MPEG-4": ("a.mp4", "mpeg4", "yuv420p", {"b": "4M", "bf": "2"}),
    "mov of ProRes": ("a.mov", "prores_ks", "yuv422p10le", {}),
    "mkv": ("a.mkv", "libx264", "yuv420p", {"bf": "2"}),
    "mkv without loss": ("a.mkv", "ffv1", "bgr0", {}),
    "webm of VP8": ("a.webm", "libvpx", "yuv420p", {"b": "2M", "deadline": "realtime"}),
    "webm of VP9": ("a.webm", "libvpx-vp9", "yuv420p", {"b": "2M", "deadline": "realtime"}),
    "mkv in 10 bit": ("a.mkv", "ffv1", "yuv420p10le", {}),
    "avi": ("a.avi", "mpeg4", "yuv420p", {"b": "4M", "bf": "2"}),
    "avi of H.264": ("a.avi", "libx264", "yuv420p", {"bf": "2"}),
    "gif": ("a.gif", "gif", "rgb8", {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_frames(kind: str, tmp_path: Path) -> None:
    name, codec, pix_fmt, options = KINDS[kind]
    frames = scene()
    path = encode(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt, options=options, rate=10)
    clip = read_video(path)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.shape == frames.shape
    assert clip.fps == 10
    assert clip.seconds == pytest.approx(1.2)
    # Each frame is nearest to its own original: none lost, none repeated, none out of order.
    for index, frame in enumerate(clip.frames):
        assert max(range(12), key=lambda other: psnr(frame, frames[other])) == index
    assert psnr(clip.frames, frames) > (20 if kind == "gif" else 33)


def test_frames_without_loss_come_back_exactly(tmp_path: Path) -> None:
    frames = scene(height=31, width=45)
    encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    moving_picture(tmp_path / "a.webp", frames, 125, lossless=True)
    folder_of(tmp_path / "folder", frames)
    for name in ["a.mkv", "a.webp", "folder"]:
        clip = read_video(tmp_path / name)
        assert np.array_equal(clip.frames, frames)
        assert clip.fps == 8


def test_odd_sizes_are_kept(tmp_path: Path) -> None:
    frames = scene(height=33, width=47)
    options = {"b": "2M", "deadline": "realtime"}
    webm = encode(tmp_path / "a.webm", frames, codec="libvpx-vp9", options=options)
    gif = moving_picture(tmp_path / "a.gif", frames, 100)
    assert read_video(webm).frames.shape == read_video(gif).frames.shape == frames.shape


def test_metadata_in_another_encoding_do_no_harm(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", scene())
    data = path.read_bytes()
    assert data.count(b"Lavf")
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xe9\xe8"))
    assert len(read_video(path).frames) == 12


def test_sound_is_ignored(tmp_path: Path) -> None:
    clip = read_video(encode(tmp_path / "a.mkv", scene(), sound=True))
    assert (len(clip.frames), clip.fps) == (12, 8)


def test_natural_order_of_pictures_in_a_folder(tmp_path: Path) -> None:
    frames = scene()
    folder = folder_of(tmp_path / "clip", frames, "Frame {}.png")  # 0, 1, 10, 11, 2, ...
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"not a picture either")
    assert np.array_equal(read_video(folder).frames, frames)
    assert read_video(folder).fps == FOLDER_FPS == 8
    assert read_video(folder, folder_fps=24).fps == 24
    assert probe(folder, folder_fps=24).seconds == 0.5


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_variable_rate_gives_frames_as_stored_and_the_average(suffix: str, tmp_path: Path) -> None:
    frames = scene()
    times = [0, 40, 80, 120, 160, 200, 400, 600, 800, 1000, 1200, 1400]
    codec, options = ("libx264", {"bf": "0"})
    if suffix == "webm":
        codec, options = "libvpx-vp9", {"b": "2M", "deadline": "realtime"}
    path = encode(tmp_path / f"a.{suffix}", frames, codec=codec, times=times, options=options)
    clip = read_video(path)
    assert len(clip.frames) == 12
    # The end of the last frame is known to some formats only: it is 1.4 s plus at most 0.2 s.
    assert 12 / 1.6 <= clip.fps <= 12 / 1.4
    assert read_video(path, max_frames=3).fps == clip.fps


def test_rate_of_gif_and_webp_is_the_average_of_their_durations(tmp_path: Path) -> None:
    durations = [100, 100, 300, 500]
    for name in ["a.gif", "a.webp"]:
        clip = read_video(moving_picture(tmp_path / name, scene(4), durations))
        assert clip.fps == pytest.approx(4.0)


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), 60])
def test_clock_of_matroska_does_not_blur_the_rate(rate: Fraction | int, tmp_path: Path) -> None:
    clip = read_video(encode(tmp_path / "a.mkv", scene(30), rate=rate))
    assert clip.fps == float(rate)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_applied(turns: int, tmp_path: Path) -> None:
    frames = scene()
    upright = encode(tmp_path / "upright.mp4", frames, options={"bf": "0"})
    path = rotated(tmp_path / "turned.mp4", upright, clockwise=turns)
    expected = np.rot90(read_video(upright).frames, -turns, axes=(1, 2))
    assert np.array_equal(read_video(path).frames, expected)
    info = probe(path)
    assert (info.height, info.width) == expected.shape[1:3]


def test_transparent_parts_lie_over_black(tmp_path: Path) -> None:
    frames = np.concatenate([scene(4), np.full((4, 48, 64, 1), 255, np.uint8)], axis=-1)
    frames[:, :, 32:, 3] = 0
    frames[:, :16, :, 3] = 128
    expected = (frames[..., :3] * (frames[..., 3:] / 255)).round()
    vpx = {"b": "4M", "deadline": "realtime", "auto-alt-ref": "0"}
    exact = [
        encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgra"),
        moving_picture(tmp_path / "a.webp", frames, 125, lossless=True, exact=True),
        folder_of(tmp_path / "folder", frames),
    ]
    for path in exact:
        assert np.abs(read_video(path).frames - expected).max() <= 1
    for codec in ["libvpx", "libvpx-vp9"]:
        path = encode(tmp_path / "a.webm", frames, codec=codec, pix_fmt="yuva420p", options=vpx)
        assert psnr(read_video(path).frames, expected) > 28
    gif = moving_picture(tmp_path / "a.gif", frames[:, 16:], 125, disposal=2)
    assert np.all(read_video(gif).frames[:, :, 32:] == 0)
    assert np.all(read_video(gif).frames[:, :, :32].max(axis=-1) > 0)


@pytest.mark.parametrize("matrix", [1, 5], ids=["bt709", "bt601"])
@pytest.mark.parametrize("colour_range", [1, 2], ids=["limited", "full"])
def test_colours_are_read_by_the_tags(matrix: int, colour_range: int, tmp_path: Path) -> None:
    colours = np.array([[230, 30, 30], [30, 200, 60], [40, 60, 220], [250, 220, 20]], np.uint8)
    frames = np.repeat(np.repeat(colours[None, None], 16, axis=1), 16, axis=2)
    path = encode(
        tmp_path / "a.mkv",
        np.repeat(frames, 2, axis=0),
        codec="ffv1",
        pix_fmt="yuv444p",
        colour=(matrix, colour_range),
    )
    off = np.abs(read_video(path).frames.astype(int) - frames)
    assert off.max() <= 3  # rounding; the wrong matrix or range is off by 15 and more


def test_pieces_add_up_to_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scene(11))
    for chunk in [1, 4, 11, 50]:
        pieces = list(read_frames(path, chunk))
        assert [len(piece) for piece in pieces[:-1]] == [chunk] * (len(pieces) - 1)
        assert np.array_equal(np.concatenate(pieces), read_video(path).frames)


def test_pieces_need_little_memory(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scene(64, 128, 128), options={"preset": "ultrafast"})
    frame = 128 * 128 * 3
    tracemalloc.start()
    count = sum(len(piece) for piece in read_frames(path, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 64
    assert peak < 20 * frame


def test_reading_stops_where_it_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scene())
    clip = read_video(path, max_frames=5)
    assert np.array_equal(clip.frames, read_video(path).frames[:5])
    assert len(read_video(path, max_frames=500).frames) == 12
    with pytest.raises(ValueError, match="max_frames is 0"):
        read_video(path, max_frames=0)
    with pytest.raises(ValueError, match="chunk is 0"):
        read_frames(path, 0)


def test_probe_agrees_with_reading_and_says_how_it_counted(tmp_path: Path) -> None:
    frames = scene()
    vp8 = {"b": "1M", "deadline": "realtime"}
    made = {
        encode(tmp_path / "a.mp4", frames): ("h264", "by_container"),
        encode(tmp_path / "a.mkv", frames): ("h264", "by_decoding"),
        encode(tmp_path / "a.webm", frames, codec="libvpx", options=vp8): ("vp8", "by_decoding"),
        moving_picture(tmp_path / "a.gif", frames, 100): ("gif", "by_container"),
        moving_picture(tmp_path / "a.webp", frames, 100): ("webp", "by_decoding"),
        folder_of(tmp_path / "folder", frames): ("pictures", "by_decoding"),
    }
    for path, (codec, counted) in made.items():
        info, clip = probe(path), read_video(path)
        assert (info.frames, info.height, info.width) == clip.frames.shape[:3]
        assert info.fps == clip.fps
        assert info.seconds == clip.seconds
        assert (info.codec, info.counted) == (codec, counted)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    gif = moving_picture(tmp_path / "a.gif", scene(1), 100)
    still = tmp_path / "a.webp"
    Image.fromarray(scene(1)[0]).save(still)
    for path in [gif, still]:
        clip = read_video(path)
        assert len(clip.frames) == 1
        assert clip.fps == 10


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_frames_that_an_edit_list_hides_are_not_promised(
    suffix: str, start: int, tmp_path: Path
) -> None:
    source = encode(tmp_path / "source.mp4", scene(), options={"bf": "2", "g": "12"})
    path = cut_copy(tmp_path / f"cut.{suffix}", source, start)
    clip = read_video(path)
    assert np.array_equal(clip.frames, read_video(source).frames[start:])
    assert probe(path).frames == 12 - start
    assert clip.fps == 8


def test_hidden_frames_do_not_count_for_the_rate(tmp_path: Path) -> None:
    times = [0, 1000, 2000, 3000, *range(4000, 4800, 100)]  # slow, then fast
    source = encode(tmp_path / "source.mp4", scene(), times=times, options={"bf": "0"})
    path = cut_copy(tmp_path / "cut.mp4", source, 4)
    assert len(read_video(path).frames) == 8
    assert read_video(path).fps == pytest.approx(10, rel=0.05)


def test_frames_before_a_cut_start_are_no_damage(tmp_path: Path) -> None:
    """Open groups of pictures: after a cut the first B-frames lack what they refer to."""
    options = {"bf": "2", "g": "6", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
    source = encode(tmp_path / "source.mp4", scene(24), options=options)
    for suffix, muxer in [("mp4", {}), ("mov", {"use_editlist": "0"}), ("mkv", {})]:
        path = tmp_path / f"cut.{suffix}"
        with av.open(str(source)) as reader, av.open(str(path), "w", options=muxer) as writer:
            stream = writer.add_stream_from_template(reader.streams.video[0])
            keys = 0
            for packet in reader.demux(video=0):
                keys += packet.is_keyframe and packet.size > 0
                if keys >= 2 and packet.size:
                    packet.stream = stream
                    writer.mux(packet)
        assert keys >= 3
        clip = read_video(path)
        assert 12 <= len(clip.frames) < 24
        assert probe(path).frames == len(clip.frames)


@pytest.mark.parametrize(
    "options",
    [
        {"bf": "0"},
        {"bf": "16", "x264-params": "b-adapt=0:scenecut=0"},
        {"g": "1"},
        {"x264-params": "intra-refresh=1:bframes=2"},
        {"x264-params": "b-pyramid=normal:ref=5:bframes=4:weightb=1"},
        {"x264-params": "interlaced=1"},
        {"preset": "ultrafast", "tune": "zerolatency"},
        {"profile": "baseline", "x264-params": "slices=4"},
    ],
    ids=str,
)
@pytest.mark.parametrize("muxer", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe"}])
def test_valid_files_are_never_refused(
    options: dict[str, str], muxer: dict[str, str], tmp_path: Path
) -> None:
    path = encode(tmp_path / "a.mp4", scene(24, 64), options=options, muxer=muxer)
    assert len(read_video(path).frames) == probe(path).frames == 24
    assert read_video(path).fps == 8


def test_packets_that_are_never_shown_are_no_frames(tmp_path: Path) -> None:
    """VP8 stores references that only later frames look at as packets of their own."""
    options = {"b": "1M", "deadline": "realtime"}
    source = encode(tmp_path / "source.webm", scene(), codec="libvpx", options=options)
    path = tmp_path / "a.webm"
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if not packet.size:
                continue
            packet.stream = stream
            if not packet.is_keyframe:
                data = bytearray(bytes(packet))
                data[0] &= ~0x10  # not shown
                hidden = av.Packet(bytes(data))
                hidden.stream, hidden.time_base = stream, packet.time_base
                hidden.pts = hidden.dts = packet.pts - 1
                writer.mux(hidden)
            writer.mux(packet)
    clip = read_video(path)
    assert len(clip.frames) == probe(path).frames == 12
    assert clip.fps == 8


def test_decoder_names_what_pixels_depend_on() -> None:
    assert f"pyav {av.__version__}" in DECODER
    assert "libavcodec 6" in DECODER
    assert "libswscale" in DECODER


def test_the_door_loads_no_torch() -> None:
    code = "import mora.media, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
