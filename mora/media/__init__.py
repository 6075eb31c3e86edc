"""The only door to video and picture files.

Frames are `uint8 (T, H, W, 3)`, RGB. What is read, what is written and what the errors mean is
told in `docs/media.md`.
"""

from mora.media.clip import Clip, VideoInfo
from mora.media.errors import (
    CorruptVideoError,
    FrameSizeError,
    MediaError,
    MediaNotFoundError,
    NoFramesError,
    NotAPictureError,
    NotAVideoError,
    TruncatedVideoError,
)
from mora.media.find import find_videos
from mora.media.pictures import read_image, write_image
from mora.media.read import DECODER, FOLDER_FPS, probe, read_frames, read_video
from mora.media.store import MediaStore, ref, sha256
from mora.media.write import write_video

__all__ = [
    "DECODER",
    "FOLDER_FPS",
    "Clip",
    "CorruptVideoError",
    "FrameSizeError",
    "MediaError",
    "MediaNotFoundError",
    "MediaStore",
    "NoFramesError",
    "NotAPictureError",
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
