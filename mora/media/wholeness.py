"""Whether a file holds all the bytes that its own structure promises.

Decoders are built to play on when a file was cut, so a shorter video passes for a whole one.
Containers, however, state the sizes of their parts. Walking those sizes, without reading what is
inside, finds a cut at any byte but the few where a format allows a file to end.
"""

import os
from pathlib import Path
from typing import BinaryIO

_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof"}
_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B


def shortfall(path: Path) -> str | None:
    """Says what is missing at the end of a file.

    Args:
        path: A file in any format; MP4 and MOV, Matroska and WebM, AVI, WebP and GIF are known.

    Returns:
        A clause such as `its mdat part runs to byte 900, and the file ends at 450`, or `None` if
        nothing is missing or the format makes no promise.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[4:8] in _MP4_FIRST:
            return _mp4(file, end)
        if head.startswith(_EBML_HEADER):
            return _matroska(file, end)
        if head.startswith(b"RIFF"):
            return _riff(file, end)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _gif(file)
    return None


def is_webp(path: Path) -> bool:
    """Whether a file is a WebP, still or animated, by its content."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def _cut(part: str, promised: int, end: int) -> str:
    return f"it is cut off: its {part} runs to byte {promised}, and the file ends at {end}"


def _mp4(file: BinaryIO, end: int) -> str | None:
    """Walks the top-level boxes (ISO/IEC 14496-12, section 4.2)."""
    place, kinds = 0, set[bytes]()
    while place < end:
        file.seek(place)
        header = file.read(16)
        kind, size = header[4:8], int.from_bytes(header[:4])
        if len(header) < 8:
            return _cut("last box", place + 8, end)
        if not kind.isascii() or not kind.decode().isprintable():
            break  # padding after the last box, which players ignore
        kinds.add(kind)
        if size == 1:
            size = int.from_bytes(header[8:16])
        if size == 0:  # the box runs to the end, wherever that is
            break
        place += max(size, 8)
        if place > end:
            return _cut(f"part {kind.decode()}", place, end)
    return None if kinds & {b"moov", b"moof"} else "it is cut off: it has no index (moov)"


def _matroska(file: BinaryIO, end: int) -> str | None:
    """Walks the EBML elements (RFC 8794); a segment or a cluster of unknown size is entered."""
    place, begun = 0, False
    while place < end:
        file.seek(place)
        header = file.read(12)
        if not header[0]:
            break  # no identifier begins so: padding
        id_length = 9 - header[0].bit_length()
        identifier = int.from_bytes(header[:id_length])
        size_byte = header[id_length : id_length + 1]
        if not size_byte:
            return _cut("last element", place + id_length + 1, end)
        size_length = 9 - max(size_byte[0].bit_length(), 1)
        body = place + id_length + size_length
        if body > end:
            return _cut("last element", body, end)
        size = int.from_bytes(header[id_length : id_length + size_length])
        size &= (unknown := (1 << 7 * size_length) - 1)
        begun |= identifier == _SEGMENT
        if size == unknown:
            if identifier not in (_SEGMENT, _CLUSTER):
                break
            place = body
            continue
        place = body + size
        if place > end:
            return _cut("segment" if identifier == _SEGMENT else "last cluster", place, end)
    return None if begun else "it is cut off: it ends before its segment"


def _riff(file: BinaryIO, end: int) -> str | None:
    """Walks the RIFF chunks of an AVI (large ones have several) or a WebP."""
    place = 0
    while place < end:
        file.seek(place)
        header = file.read(8)
        size = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):  # unfinished, or padding
            break
        if place + 8 + size > end:
            return _cut("content", place + 8 + size, end)
        place += 8 + size + size % 2
    return None


def _gif(file: BinaryIO) -> str | None:
    """Walks the blocks (GIF89a specification, appendix A) to the trailer."""

    def skip(count: int) -> None:
        file.seek(count, os.SEEK_CUR)

    def byte() -> int:
        read = file.read(1)
        if not read:
            raise EOFError
        return read[0]

    def skip_colours(flags: int) -> None:
        if flags & 0x80:
            skip(3 << (flags & 7) + 1)

    try:
        skip(10)
        flags = byte()
        skip(2)
        skip_colours(flags)
        while (block := byte()) != _GIF_TRAILER:
            if block == _GIF_EXTENSION:
                byte()
            elif block == _GIF_IMAGE:
                skip(8)
                skip_colours(byte())
                byte()
            else:
                return None  # unknown block: the decoder judges
            while size := byte():
                skip(size)
    except EOFError:
        return "it is cut off: it ends without the trailer of a GIF"
    return None
