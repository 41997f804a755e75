"""Records in a TFRecord file, one at a time: where each lies, and its bytes.

A record has a length (uint64), the checksum of these 8 bytes (uint32), the data, and the checksum
of the data (uint32), all with the low byte first. TensorFlow reads such files where it knows the
file system; here they are read where it does not, and written.
"""

import os

import google_crc32c

from keras_videoprism.data.remote import File, open_binary, read_range

NUM_READS = 16  # in flight

_HEADER = 12  # bytes before the data
_FOOTER = 4  # bytes behind it


def record_sizes(path: File) -> list[int]:
    """Bytes of each record with its framing; the file begins with one, and has nothing else.

    Only the headers are read: one small request for each record of a remote file.

    Raises:
        ValueError: the file ends within a record.
        OSError: it cannot be read.
    """
    sizes: list[int] = []
    with open_binary(path, block_size=_HEADER) as file:
        offset, end = 0, file.seek(0, os.SEEK_END)
        while offset < end:
            file.seek(offset)
            sizes.append(_HEADER + int.from_bytes(file.read(8), "little") + _FOOTER)
            offset += sizes[-1]
    if offset > end:
        raise ValueError(
            f"{path}: truncated: record {len(sizes) - 1} needs {offset} bytes, the file has "
            f"{end}; write or copy it again"
        )
    return sizes


def read_record(path: File, offset: int, size: int) -> bytes:
    """The data of one record, of which both checksums are verified.

    Args:
        path: local or remote TFRecord file.
        offset: byte where the record starts.
        size: its bytes with the framing, as `record_sizes` gives them.

    Raises:
        ValueError: there is no whole record of this size.
        OSError: it cannot be read.
    """
    content = read_range(path, offset, size)
    header, data, footer = content[:8], content[_HEADER:-_FOOTER], content[-_FOOTER:]
    if (
        int.from_bytes(header, "little") != len(data)
        or content[8:_HEADER] != _checksum(header)
        or footer != _checksum(data)
    ):
        raise ValueError(
            f"{path}: the record at byte {offset} is damaged (wrong length or checksum); "
            "write or copy the file again"
        )
    return data


def framed(data: bytes | bytearray) -> bytes:
    """A record as it stands in a file."""
    header = len(data).to_bytes(8, "little")
    return b"".join((header, _checksum(header), data, _checksum(bytes(data))))


def _checksum(data: bytes) -> bytes:
    """CRC32C as TFRecord files store it: turned by 15 bits and moved by a constant."""
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")
