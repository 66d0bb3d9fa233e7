"""Reduces a picture to at most 256 colours, so that it is small enough to commit.

A page's screenshot has a few thousand colours, nearly all of them shades at the edges of letters;
the 256 that are used most, and for each other one the nearest of them, look the same in less than
half the bytes. The format is W3C's "PNG Specification", sections 5 and 9.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TRUECOLOUR, INDEXED = 2, 3
PIXEL = 3  # bytes: red, green, blue
MOST_COLOURS = 256


def reduce_colours(png: bytes) -> bytes:
    """Return ``png``, 8-bit and without transparency as Chromium makes it, with a palette.

    Raises ``ValueError`` for any other kind of PNG.
    """
    chunks = list(_read_chunks(png))
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if (depth, kind, rest) != (8, TRUECOLOUR, [0, 0, 0]):
        raise ValueError("only 8-bit pictures without transparency or interlacing are read")
    packed = b"".join(content for name, content in chunks if name == b"IDAT")
    rows = _unfilter(zlib.decompress(packed), width * PIXEL)
    pixels = [[row[at : at + PIXEL] for at in range(0, len(row), PIXEL)] for row in rows]
    used = Counter(pixel for row in pixels for pixel in row)
    palette = [colour for colour, _count in used.most_common(MOST_COLOURS)]
    indexes = {colour: _nearest(colour, palette) for colour in used}
    drawn = b"".join(b"\0" + bytes(indexes[pixel] for pixel in row) for row in pixels)
    return SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, INDEXED, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(palette)),
            _chunk(b"IDAT", zlib.compress(drawn, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _read_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = len(SIGNATURE)
    while offset < len(png):
        (length,) = struct.unpack(">I", png[offset : offset + 4])
        yield png[offset + 4 : offset + 8], png[offset + 8 : offset + 8 + length]
        offset += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def _unfilter(packed: bytes, length: int) -> Iterator[bytes]:
    above = bytearray(length)
    for at in range(0, len(packed), length + 1):
        kind, row = packed[at], bytearray(packed[at + 1 : at + 1 + length])
        for x in range(length):
            left = row[x - PIXEL] if x >= PIXEL else 0
            corner = above[x - PIXEL] if x >= PIXEL else 0
            guess = (0, left, above[x], (left + above[x]) // 2, _paeth(left, above[x], corner))
            row[x] = (row[x] + guess[kind]) & 0xFF
        yield bytes(row)
        above = row


def _paeth(left: int, above: int, corner: int) -> int:
    # Of equally near ones the first: the specification's order.
    return min((left, above, corner), key=lambda value: abs(left + above - corner - value))


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    def distance(index: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, palette[index], strict=True))

    return min(range(len(palette)), key=distance)
