"""Looks through a .pth file before PyTorch reads it: its records, and what its pickle makes."""

import io
import pickletools
import re
import zipfile
from collections.abc import Sequence

_RECORD = re.compile(r"[^/]+/(data/\d+|data\.pkl|version|byteorder|\.[a-z_]+(/serialization_id)?)")
_MAX_RECORDS = 5000  # ours have up to 700; a million of empty ones would take gigabytes
_MAX_PICKLE = 16_000_000  # bytes of all but the tensors' numbers; ours have 14,000
_MAX_OPCODES = 250_000  # ours have 4,000; training states 20,000, and 20 for an epoch

_TENSOR, _ORDERED = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_STORAGES = {
    f"torch {kind}Storage"
    for kind in ("Half", "BFloat16", "Float", "Double", "Long", "Int", "Short", "Byte", "Bool")
}
_SMALL_INTS = {"BININT", "BININT1", "BININT2"}
_KEYS = {"BINUNICODE", *_SMALL_INTS}  # any others could be made to have the same hash
_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
# Those that torch.save writes for dicts, lists, tuples, strings, numbers and tensors.
_OPCODES = _KEYS | _TUPLES | {
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "LONG1", "BINFLOAT", "EMPTY_LIST",
    "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}  # fmt: skip

# What made a value: the name of a global or of an opcode; of a tuple, what made its items.
_Maker = str | tuple[str, ...]


def checked_archive(content: bytes, limit: int) -> io.BytesIO:
    """A copy of the records of a .pth file, which may have up to `limit` bytes.

    A copy, since another reader of zip files could find other records in it. Raises ValueError, or
    what `zipfile` and `pickletools` raise, if it is no file that `torch.save` writes.
    """
    if content.count(b"PK\1\2") > _MAX_RECORDS:  # how each entry of a zip's index starts
        raise ValueError(f"it has more than {_MAX_RECORDS:,} records")
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(copy, "w") as checked:
        names = archive.namelist()
        if len(names) != len({*names}) or len({name.split("/")[0] for name in names}) != 1:
            raise ValueError("its records are not named as torch.save names them")
        if (size := sum(record.file_size for record in archive.infolist())) > limit:
            raise ValueError(f"its records have {size:,} bytes")
        for record in archive.infolist():
            name = _RECORD.fullmatch(record.filename)
            if name is None or record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"it has a record {record.filename[:60]!r}, or it is compressed")
            if not name[1].startswith("data/") and record.file_size > _MAX_PICKLE:
                raise ValueError(f"its record {name[1]} has {record.file_size:,} bytes")
            inside = archive.read(record)
            if name[1] == "data.pkl":
                _check_pickle(inside)
            checked.writestr(f"archive/{name[1]}", inside)
    copy.seek(0)
    return copy


def _check_pickle(content: bytes) -> None:
    """Follow a pickle as an unpickler does, with a `_Maker` for each value.

    Raises ValueError, or IndexError and KeyError if it takes values that there are not.
    """
    stack: list[_Maker] = []
    memo: dict[int, _Maker] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES or count > _MAX_OPCODES:
            raise ValueError(f"its pickle has the opcode {opcode.name}, or too many")
        if opcode.name.endswith("BINPUT"):
            memo[argument or 0] = stack[-1]
        elif opcode.name.endswith("BINGET"):
            stack.append(memo[argument or 0])
        else:
            taken = _take(stack, opcode.stack_before)
            maker = _made(opcode.name, taken, argument)
            stack += [maker] * len(opcode.stack_after)


def _take(stack: list[_Maker], kinds: Sequence[object]) -> list[_Maker]:
    """What an opcode takes from the stack."""
    taken = []
    for kind in reversed(kinds):
        if kind is pickletools.stackslice:  # and the mark below it
            while (one := stack.pop()) != "MARK":
                taken.append(one)
        elif kind is not pickletools.markobject:
            taken.append(stack.pop())
    return taken[::-1]


def _made(opcode: str, taken: list[_Maker], argument: object) -> _Maker:
    """The maker of an opcode's value; a ValueError if torch.save makes no such value."""
    is_ours = True
    maker: _Maker = opcode
    if opcode == "GLOBAL":
        maker = str(argument)
        is_ours = maker in _STORAGES | {_TENSOR, _ORDERED}
    elif opcode in _TUPLES:
        maker = tuple(one if isinstance(one, str) else "TUPLE" for one in taken)
    elif opcode in ("SETITEM", "SETITEMS"):
        is_ours = _KEYS.issuperset(taken[1::2])
    elif opcode == "BUILD":  # the attribute _metadata of a state dict
        is_ours = taken[0] == _ORDERED
    elif opcode == "BINPERSID":
        made = taken[0] if len(taken[0]) == 5 else ("",) * 5
        is_ours = (*made[:1], *made[2:4]) == ("BINUNICODE",) * 3
        is_ours &= made[1] in _STORAGES and made[4] in _SMALL_INTS | {"LONG1"}
    elif opcode == "REDUCE":
        maker, arguments = taken
        is_ours = arguments == () if maker == _ORDERED else maker == _TENSOR
    if not is_ours:
        raise ValueError(f"its pickle has a {opcode} of {str(argument or taken)[:60]}")
    return taken[0] if opcode in ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "BUILD") else maker
