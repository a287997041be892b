"""What Kafka's four codecs have compressed, opened a part at a time.

kafka-python opens a batch of records at once, whatever it grows to: 400 MiB of zeros lie in 18 kB. Here at most
:data:`PART_BYTES` come out at a time, of snappy alone a whole block, whose size stands before it.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import lz4.frame
import zstandard

PART_BYTES = 256 << 10
"""Most that is opened at a time."""
_FED_BYTES = 16 << 10
"""Compressed bytes given to a decompressor at a time: it copies what it has not come to at each call."""
_GZIP_HEADER = zlib.MAX_WBITS | 16
_XERIAL = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES = 16
_SNAPPY_GROWTH = 22
"""No byte of a block of snappy becomes more: three bytes say "copy 64"."""

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
"""As a batch's attributes name them."""


class Unopenable(Exception):
    """Bytes that are not what their codec makes."""


class Beyond(Exception):
    """There is more than was to be opened."""


def opened(codec: int, data: memoryview, most: int) -> Iterator[bytes]:
    """The decompressed bytes in parts, up to ``most``.

    Raises :class:`Unopenable`, and :class:`Beyond` behind ``most``; of a block of snappy that ends behind it nothing
    is opened.
    """
    left = most
    try:
        for part in _CODECS[codec](data, most):
            if len(part) > left:
                if left:
                    yield part[:left]
                raise Beyond
            left -= len(part)
            yield part
    except _FAULTS as error:
        raise Unopenable(str(error) or type(error).__name__) from error


def _lz4(data: memoryview, most: int) -> Iterator[bytes]:
    decompressor, rest, at = lz4.frame.LZ4FrameDecompressor(), b"", 0
    while rest or at < len(data) or not decompressor.needs_input:
        if decompressor.needs_input and not rest:
            rest, at = bytes(data[at : at + _FED_BYTES]), at + _FED_BYTES
        part = decompressor.decompress(rest, max_length=PART_BYTES)
        rest = b""
        if decompressor.eof:  # it begins anew with the next frame, if there is one
            rest = decompressor.unused_data or b""
            decompressor = lz4.frame.LZ4FrameDecompressor()
        if part:
            yield part


def _gzip(data: memoryview, most: int) -> Iterator[bytes]:
    """Members one after the other, zeros between them passed over, as Java and Python's own reader do."""
    decompressor, rest, at = zlib.decompressobj(_GZIP_HEADER), b"", 0
    while rest or at < len(data):
        if not rest:
            rest, at = bytes(data[at : at + _FED_BYTES]), at + _FED_BYTES
        part = decompressor.decompress(rest, PART_BYTES)
        rest = decompressor.unconsumed_tail
        if decompressor.eof:
            rest, decompressor = decompressor.unused_data.lstrip(b"\0"), zlib.decompressobj(_GZIP_HEADER)
        if part:
            yield part
    # What a full part held back, the input being used up.
    while part := decompressor.decompress(b"", PART_BYTES):
        yield part


def _zstd(data: memoryview, most: int) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        while part := reader.read(PART_BYTES):
            yield part


def _snappy(data: memoryview, most: int) -> Iterator[bytes]:
    # Arrow, which Spark's client brings along, knows it; imported only where a producer uses it.
    import pyarrow as pa

    left = most
    for block in _snappy_blocks(data):
        size = _snappy_size(block)
        if size > _SNAPPY_GROWTH * len(block):
            raise Unopenable(f"a snappy block of {len(block)} bytes that claims to open to {size}")
        if size > left:
            raise Beyond
        left -= size
        if size:
            yield pa.decompress(block, decompressed_size=size, codec="snappy", asbytes=True)


def _snappy_blocks(data: memoryview) -> Iterator[memoryview]:
    """The blocks of snappy-java's stream; without its header it is one block."""
    if data[: len(_XERIAL)] != _XERIAL:
        yield data
        return
    at = _XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if not 0 < size <= len(data) - at - 4:
            raise Unopenable(f"a snappy block of {size} bytes where {len(data) - at - 4} are left")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _snappy_size(block: memoryview) -> int:
    """What a block opens to, as it says itself at its beginning."""
    size = 0
    for index, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return size
    raise Unopenable("a snappy block without its size")


_CODECS: Mapping[int, Callable[[memoryview, int], Iterator[bytes]]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: _zstd,
}
# Arrow's errors are ValueErrors or OSErrors, lz4's are RuntimeErrors.
_FAULTS = (zlib.error, zstandard.ZstdError, RuntimeError, ValueError, OSError, struct.error)
