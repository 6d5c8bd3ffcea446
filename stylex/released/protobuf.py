"""The wire format of protocol buffers, as far as reading three kinds of messages needs it.

https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each a number with a wire type and a
value. Nothing is known of their meaning here. Damaged messages raise `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterator

Message = dict[int, list[int | bytes]]
FIXED = {1: 8, 5: 4}  # bytes of the values of these wire types


def varint(content: bytes, start: int) -> tuple[int, int]:
    """Return the number that begins at `start`, seven bits a byte, and where it ends."""
    value = 0
    for length, byte in enumerate(content[start : start + 10]):
        value |= (byte & 0x7F) << 7 * length
        if byte < 0x80:
            return value, start + length + 1
    raise ValueError("a number has no end")


def varints(content: bytes) -> Iterator[int]:
    """Yield numbers that follow each other."""
    position = 0
    while position < len(content):
        value, position = varint(content, position)
        yield value


def parse(content: bytes) -> Message:
    """Return the values of a message by field number: numbers as int, all else as bytes."""
    message: Message = {}
    position = 0
    while position < len(content):
        tag, position = varint(content, position)
        value: int | bytes
        if tag & 7 == 0:
            value, position = varint(content, position)
        else:
            size, position = varint(content, position) if tag & 7 == 2 else (FIXED.get(tag & 7, -1), position)
            if not 0 <= size <= len(content) - position:
                raise ValueError("a field reaches beyond its message")
            value, position = content[position : position + size], position + size
        message.setdefault(tag >> 3, []).append(value)
    return message


def messages(message: Message, field: int) -> list[Message]:
    """Return the messages in a repeated field."""
    return [parse(value) for value in binary(message, field)]


def binary(message: Message, field: int) -> list[bytes]:
    """Return the strings, bytes and encoded messages in a repeated field."""
    values = message.get(field, [])
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"field {field} holds numbers")
    return [value for value in values if isinstance(value, bytes)]


def text(message: Message, field: int) -> str:
    """Return the last string of a field; empty without one."""
    return (binary(message, field) or [b""])[-1].decode()


def number(message: Message, field: int) -> int:
    """Return the last number of a field; 0 without one, which is how 0 is written."""
    value = message.get(field, [0])[-1]
    return int.from_bytes(value, "little") if isinstance(value, bytes) else value
