"""Reading the fields of a protobuf message by their wire format, without knowing its schema.

The format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

__all__ = ["MalformedError", "fields", "varints"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class MalformedError(ValueError):
    """Bytes are no protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: the number of each, and an integer or its bytes.

    Lengths are checked before anything is taken, and nothing is copied.

    Raises
    ------
    MalformedError
        If the bytes are no message. Groups, which protobuf gave up in 2008, are none.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise MalformedError(f"a field has the number {number}")
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise MalformedError(f"a field has the wire type {wire}")
        if length > end - at:
            raise MalformedError(f"a field of {length} bytes where {end - at} are left")
        yield number, message[at : at + length]
        at += length


def varints(value: int | memoryview) -> Iterator[int]:
    """Yield the signed integers of a repeated field, packed or not.

    Raises
    ------
    MalformedError
    """
    if isinstance(value, int):
        yield _signed(value)
        return
    at = 0
    while at < len(value):
        one, at = _varint(value, at)
        yield _signed(one)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise MalformedError("an integer does not end")
