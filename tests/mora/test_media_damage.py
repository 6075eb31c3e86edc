"""What is wrong with a file is noticed, told apart, and told."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import encode, folder_of, moving_picture, scene, sound_only
from PIL import Image

from mora.media import (
    CorruptVideoError,
    FrameSizeError,
    MediaError,
    MediaNotFoundError,
    NoFramesError,
    NotAPictureError,
    NotAVideoError,
    TruncatedVideoError,
    probe,
    read_frames,
    read_image,
    read_video,
)
from mora.records import FailureKind

VP9 = {"b": "500k", "deadline": "realtime"}


def _webm_without_size(folder: Path) -> Path:
    """A WebM as a stream writes it: neither its segment nor its clusters say how long they are."""
    path = encode(folder / "a.webm", scene(), codec="libvpx-vp9", options=VP9, muxer={"live": "1"})
    data = bytearray(path.read_bytes())
    for identifier in [b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"]:
        place = data.index(identifier) + 4
        length = 9 - data[place].bit_length()
        data[place : place + length] = ((1 << 7 * length + 1) - 1).to_bytes(length)
    path.write_bytes(data)
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "mp4, index first": lambda d: encode(d / "a.mp4", scene(), muxer={"movflags": "faststart"}),
    "mp4, index last": lambda d: encode(d / "a.mp4", scene()),
    "mp4, fragments": lambda d: encode(
        d / "a.mp4", scene(), options={"g": "4"}, muxer={"movflags": "frag_keyframe+empty_moov"}
    ),
    "mov": lambda d: encode(d / "a.mov", scene(), codec="prores_ks", pix_fmt="yuv422p10le"),
    "mkv": lambda d: encode(d / "a.mkv", scene()),
    "mkv with sound": lambda d: encode(d / "a.mkv", scene(), sound=True),
    "webm": lambda d: encode(d / "a.webm", scene(), codec="libvpx-vp9", options=VP9),
    "avi": lambda d: encode(d / "a.avi", scene(), codec="mpeg4"),
    "gif": lambda d: moving_picture(d / "a.gif", scene(), 100),
    "webp": lambda d: moving_picture(d / "a.webp", scene(), 100),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_cut_anywhere_is_noticed(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    whole = path.read_bytes()
    assert len(read_video(path).frames) == 12
    for length in {*(len(whole) * part // 16 for part in range(2, 16)), len(whole) - 1}:
        path.write_bytes(whole[:length])
        for look in [read_video, probe, lambda path: next(read_frames(path, 2))]:
            with pytest.raises(TruncatedVideoError, match="cut off") as caught:
                look(path)
            assert caught.value.kind is FailureKind.TRUNCATED
            assert str(path) in str(caught.value)


def test_a_cut_within_a_stream_of_unknown_length_is_noticed(tmp_path: Path) -> None:
    path = _webm_without_size(tmp_path)
    assert len(read_video(path).frames) == 12
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TruncatedVideoError):
        read_video(path)


@pytest.mark.parametrize("kind", ["mp4, index first", "mkv", "webm", "avi"])
def test_a_cut_names_promised_and_present_frames(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    with av.open(str(path)) as container:
        ends = sorted(p.pos + p.size for p in container.demux(video=0) if p.size)
    margin = 40  # a frame's header in its container, and the entry before it
    path.write_bytes(path.read_bytes()[: ends[6] + margin])
    with pytest.raises(TruncatedVideoError, match="promises 12 frames and holds 7") as caught:
        read_video(path)
    assert (caught.value.promised, caught.value.got) == (12, 7)


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if "sound" not in kind])
def test_padding_behind_the_end_is_no_damage(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    frames = read_video(path).frames
    path.write_bytes(path.read_bytes() + bytes(100))
    assert np.array_equal(read_video(path).frames, frames)


def test_sizes_of_64_bit_are_understood(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scene())
    data = path.read_bytes()
    place = data.index(b"mdat") - 4
    size = int.from_bytes(data[place : place + 4])
    assert data[place - 8 : place] == b"\x00\x00\x00\x08free"  # kept by writers for this use
    wide = (1).to_bytes(4) + b"mdat" + (size + 8).to_bytes(8)
    path.write_bytes(data[: place - 8] + wide + data[place + 8 :])
    assert len(read_video(path).frames) == 12
    path.write_bytes(path.read_bytes()[: place + 200])
    with pytest.raises(TruncatedVideoError, match=f"mdat runs to byte {place + size}"):
        read_video(path)


def test_index_that_was_never_written(tmp_path: Path) -> None:
    """A writer that was killed leaves data of open length and no index."""
    path = encode(tmp_path / "a.mp4", scene())
    data = path.read_bytes()
    place = data.index(b"mdat") - 4
    path.write_bytes(data[:place] + bytes(4) + data[place + 4 : data.index(b"moov") - 4])
    with pytest.raises(TruncatedVideoError, match="no index"):
        read_video(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.mkv", "a.avi", "a.gif", "a.webp"])
def test_text_is_not_a_video(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("Once upon a time there was a text that was called a video.\n" * 50)
    with pytest.raises(NotAVideoError) as caught:
        read_video(path)
    assert caught.value.kind is FailureKind.NOT_A_VIDEO


def test_what_else_is_not_a_video(tmp_path: Path) -> None:
    picture = tmp_path / "picture.mp4"
    Image.fromarray(scene(1)[0]).save(picture, format="PNG")
    # FFmpeg would follow a playlist to other files, or to the network.
    encode(tmp_path / "real.mp4", scene())
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nreal.mp4\n#EXT-X-ENDLIST\n")
    listing = tmp_path / "listing.mp4"
    listing.write_text("ffconcat version 1.0\nfile real.mp4\n")
    for path in [picture, playlist, listing]:
        with pytest.raises(NotAVideoError):
            read_video(path)
    with pytest.raises(NotAVideoError, match="no video stream, only audio"):
        read_video(sound_only(tmp_path / "sound.mp4"))
    with pytest.raises(NotAVideoError, match="no video stream, only audio"):
        read_video(sound_only(tmp_path / "cover.mp4", cover=True))
    broken = tmp_path / "broken.webp"
    broken.write_bytes(b"RIFF\x10\x00\x00\x00WEBP" + bytes(12))
    with pytest.raises(NotAVideoError):
        read_video(broken)


def test_nothing_there(tmp_path: Path) -> None:
    for read in [read_video, probe, read_image, lambda path: read_frames(path, 1)]:
        with pytest.raises(MediaNotFoundError) as caught:
            read(tmp_path / "missing.mp4")
        assert caught.value.kind is FailureKind.NOT_FOUND


def test_no_frames(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    (tmp_path / "empty.mp4").touch()
    for name in ["empty", "texts", "empty.mp4"]:
        with pytest.raises(NoFramesError) as caught:
            read_video(tmp_path / name)
        assert caught.value.kind is FailureKind.NO_FRAMES


def test_damage_that_decoders_paint_over_is_noticed(tmp_path: Path) -> None:
    """By default FFmpeg's decoder of MJPEG gives a wrong frame here, and no error."""
    path = encode(tmp_path / "a.avi", scene(), codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        place, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][5]
    whole = path.read_bytes()
    for seed in range(5):
        draw, data = random.Random(seed), bytearray(whole)
        for _ in range(8):
            data[place + draw.randrange(size * 3 // 4, size - 10)] = draw.randrange(255)
        path.write_bytes(data)
        with pytest.raises(CorruptVideoError, match="frame 5"):
            read_video(path)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg", "png", "prores_ks"])
def test_damage_in_the_middle_is_noticed(codec: str, tmp_path: Path) -> None:
    formats = {"mjpeg": "yuvj420p", "png": "rgb24", "prores_ks": "yuv422p10le"}
    pix_fmt = formats.get(codec, "yuv420p")
    options = {"crf": "10", "bf": "0"} if codec == "libx264" else {"b": "4M"}
    path = encode(tmp_path / "a.mov", scene(24), codec=codec, pix_fmt=pix_fmt, options=options)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    place, size = packets[12]
    data = bytearray(path.read_bytes())
    keep = size // 2
    data[place + keep : place + size] = b"\x55" * (size - keep)
    path.write_bytes(data)
    assert len(read_video(path, max_frames=12).frames) == 12
    with pytest.raises(CorruptVideoError, match="frame 12") as caught:
        read_video(path)
    assert caught.value.failure().kind is FailureKind.CORRUPT


def test_a_frame_that_the_decoder_drops_is_noticed(tmp_path: Path) -> None:
    options = {"b": "500k", "deadline": "realtime", "lag-in-frames": "0", "g": "1"}
    path = encode(tmp_path / "a.mp4", scene(), codec="libvpx-vp9", options=options)
    with av.open(str(path)) as container:
        place = [p.pos for p in container.demux(video=0) if p.size][5]
    data = bytearray(path.read_bytes())
    assert data[place] & 0x02  # "show this frame"
    data[place] &= ~0x02
    path.write_bytes(data)
    with pytest.raises(CorruptVideoError, match="1 of its 12 frames"):
        read_video(path)


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", scene(3))
    Image.fromarray(scene(1, 20, 30)[0]).save(folder / "7.png")
    with pytest.raises(FrameSizeError, match=r"frame 7\.png is 30x20 and the first is 64x48"):
        read_video(folder)

    small = encode(tmp_path / "small.webm", scene(3, 32, 32), codec="libvpx", options=VP9)
    path = tmp_path / "both.webm"
    with av.open(str(path), "w") as writer:
        large = encode(tmp_path / "large.webm", scene(3), codec="libvpx", options=VP9)
        stream = None
        for start, source in enumerate([large, small]):
            with av.open(str(source)) as reader:
                stream = stream or writer.add_stream_from_template(reader.streams.video[0])
                for packet in reader.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = packet.pts + start * 1000
                        packet.stream = stream
                        writer.mux(packet)
    with pytest.raises(FrameSizeError, match="frame 3 is 32x32 and the first is 64x48"):
        read_video(path)


def test_a_broken_picture_in_a_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", scene(3))
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:-40])
    with pytest.raises(CorruptVideoError, match=r"1\.png"):
        read_video(folder)


def test_what_is_not_a_picture(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("a text")
    cut = tmp_path / "cut.png"
    Image.fromarray(scene(1)[0]).save(cut)
    cut.write_bytes(cut.read_bytes()[:-40])
    for path in [text, cut]:
        with pytest.raises(NotAPictureError):
            read_image(path)


def test_an_error_becomes_a_record(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        read_video(tmp_path / "missing.mp4")
    failure = caught.value.failure()
    assert failure.kind is FailureKind.NOT_FOUND
    assert "missing.mp4" in failure.message


@pytest.mark.parametrize("kind", MAKERS)
def test_random_damage_never_raises_anything_else(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    whole = path.read_bytes()
    draw = random.Random(kind)
    outcomes = set()
    for _ in range(25):
        data = bytearray(whole)
        reach = draw.choice([200, len(data)])
        for _ in range(draw.choice([1, 10, 100])):
            data[draw.randrange(min(reach, len(data)))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            frames = read_video(path, max_frames=100).frames
            outcomes.add("read")
            assert frames.dtype == np.uint8
        except MediaError as error:
            outcomes.add(type(error).__name__)
    assert outcomes - {"read"}


def test_decoding_a_damaged_file_prints_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scene(24), options={"crf": "10"})
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 2000
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    code = (
        "import sys; from mora.media import MediaError, read_video\n"
        "try: read_video(sys.argv[1])\n"
        "except MediaError: sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")
