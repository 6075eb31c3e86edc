"""The only door to video and picture files.

Frames are `uint8 (T, H, W, 3)`, RGB. What is read, what is written and what the errors mean is
told in `docs/media.md`.
"""

from mora.media.errors import (
    CorruptVideoError,
    MediaError,
    MediaNotFoundError,
    NoFramesError,
    NotAVideoError,
    TruncatedVideoError,
)
from mora.media.pictures import read_image, write_image
from mora.media.read import DECODER, Clip, VideoInfo, probe, read_frames, read_video
from mora.media.store import MediaStore, find_videos, ref, sha256
from mora.media.write import write_video

__all__ = [
    "DECODER",
    "Clip",
    "CorruptVideoError",
    "MediaError",
    "MediaNotFoundError",
    "MediaStore",
    "NoFramesError",
    "NotAVideoError",
    "TruncatedVideoError",
    "VideoInfo",
    "find_videos",
    "probe",
    "read_frames",
    "read_image",
    "read_video",
    "ref",
    "sha256",
    "write_image",
    "write_video",
]
