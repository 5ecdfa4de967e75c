"""A strict reader of protobuf messages: only fields that a table lists, and no field twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VARINT, BYTES, FIXED32 = 0, 2, 5  # wire types
Message = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of a message: how it is written, and whether there may be several."""

    name: str
    wire: int
    many: bool = False
    fields: Mapping[int, Field] | None = None  # of the message that it holds


def parse(content: bytes, fields: Mapping[int, Field], limit: int) -> Message:
    """Read a message: numbers as int, bytes as memoryview, fields that may be several as lists.

    A parser that merges or skips what is strange could see another message than this one, so
    whatever `fields` does not list is refused. `limit` is the number of fields and numbers that
    there may be, since each takes many times its bytes in memory. Raises ValueError.
    """
    return _Parser(limit).message(memoryview(content), fields)


def text(value: memoryview | None) -> str:
    """A string of a message; empty where it is missing."""
    return "" if value is None else str(value, "utf-8")


class _Parser:
    def __init__(self, limit: int) -> None:
        self.left = self.limit = limit

    def message(self, content: memoryview, fields: Mapping[int, Field]) -> Message:
        message: Message = {field.name: [] for field in fields.values() if field.many}
        at = 0
        while at < len(content):
            self._count()
            key, at = _varint(content, at)
            field = fields.get(key >> 3)
            if field is None:
                raise ValueError(f"it has field {key >> 3}, which export does not write")
            if field.many and field.wire != BYTES == key & 7:  # numbers that are packed
                packed, at = _bytes(content, at)
                message[field.name] += self._numbers(packed, field)
                continue
            if key & 7 != field.wire:
                raise ValueError(f"its field {field.name} is of another type")
            value, at = self._value(content, at, field)
            if field.many:
                message[field.name].append(value)
            elif field.name in message:
                raise ValueError(f"it has two {field.name}")
            else:
                message[field.name] = value
        return message

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it has more than {self.limit:,} fields")

    def _value(self, content: memoryview, at: int, field: Field) -> tuple[Any, int]:
        if field.wire == VARINT:
            return _varint(content, at)
        if field.wire == FIXED32:
            return int.from_bytes(_slice(content, at, 4), "little"), at + 4
        value, at = _bytes(content, at)
        return (value if field.fields is None else self.message(value, field.fields)), at

    def _numbers(self, packed: memoryview, field: Field) -> list[int]:
        numbers, at = [], 0
        while at < len(packed):
            self._count()
            number, at = self._value(packed, at, field)
            numbers.append(number)
        return numbers


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, with its sign."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise ValueError("it is cut off")
        byte = content[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            value &= 2**64 - 1
            return value - (value >> 63 << 64), at
    raise ValueError("it has a number of more than 64 bits")


def _bytes(content: memoryview, at: int) -> tuple[memoryview, int]:
    length, at = _varint(content, at)
    return _slice(content, at, length), at + length


def _slice(content: memoryview, at: int, length: int) -> memoryview:
    if not 0 <= length <= len(content) - at:
        raise ValueError("it is cut off")
    return content[at : at + length]
