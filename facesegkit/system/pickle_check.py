"""Looks through the pickle of a .pth file before PyTorch reads it: opcodes, globals and sizes."""

import io
import pickletools
import zipfile
from pathlib import Path

_MAX_PICKLE = 16_000_000  # bytes of all but the tensors' numbers; ours have some 10,000
_MAX_OPCODES = 500_000

_GLOBALS = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict"} | {
    f"torch {kind}Storage"
    for kind in ("Half", "BFloat16", "Float", "Double", "Long", "Int", "Short", "Byte", "Bool")
}
# Those that torch.save writes for dicts, lists, tuples, strings, numbers and tensors.
_OPCODES = {
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}  # fmt: skip


def checked_archive(path: Path | str) -> io.BytesIO:
    """A copy of a .pth file's records, whose pickle has been looked through.

    A copy, since another reader of zip files could find other records in it. Raises ValueError, or
    what `zipfile` and `pickletools` raise, if it is no file that `torch.save` writes.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as checked:
        names = archive.namelist()
        if len(names) != len({*names}) or len({name.split("/")[0] for name in names}) != 1:
            raise ValueError("its records are not named as torch.save names them")
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed")
            is_tensor = "/data/" in record.filename
            if not is_tensor and record.file_size > _MAX_PICKLE:
                raise ValueError(f"its record {record.filename} has {record.file_size:,} bytes")
            content = archive.read(record)
            if not is_tensor and record.filename.endswith(".pkl"):
                _check_pickle(content)
            checked.writestr(record.filename, content)
    copy.seek(0)
    return copy


def _check_pickle(content: bytes) -> None:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES or count > _MAX_OPCODES:
            raise ValueError(f"its pickle has the opcode {opcode.name}, or too many")
        if opcode.name == "GLOBAL" and argument not in _GLOBALS:
            raise ValueError(f"its pickle refers to {str(argument)[:60]!r}")


def check_size(plain: object, limit: int = 100_000, depth: int = 20) -> int:
    """How many values plain data has, counting one again wherever it is used.

    Lists that hold each other need few bytes in a file but any size as JSON. Raises ValueError if
    there are more than `limit`, or more than `depth` levels.
    """
    if depth < 0:
        raise ValueError("its description has too many levels")
    count = 1 + (len(plain) // 20 if isinstance(plain, str) else 0)
    inner: list[object] = []
    if isinstance(plain, dict):
        inner = [*plain.keys(), *plain.values()]
    elif isinstance(plain, (list, tuple)):
        inner = [*plain]
    for value in inner:
        if count > limit:
            break
        count += check_size(value, limit - count, depth - 1)
    if count > limit:
        raise ValueError("its description is too long")
    return count
