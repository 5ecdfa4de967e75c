"""Opens damaged model files: each must be refused in one sentence, or be a model that works.

    python benchmarks/model_fuzz.py --minutes 10 --keep

Bits are flipped, bytes cut out, inserted and doubled, in the file itself and in what it contains:
fields of its protobuf messages, or the records and opcodes of its pickle. Prints the number of
files, how many were refused, the slowest, and the peak memory; with --keep, they are written to
benchmarks/results/model_fuzz.json. `make stress` runs it for ten minutes.
"""

import argparse
import io
import pickletools
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import save_results

from facesegkit.checkpoint import load
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.onnx_model import open_onnx

MODEL = "separable-synthetic"
Random = np.random.Generator


def mutated(content: bytes, rng: Random, *, near_start: bool = False) -> bytes:
    """Content with one to five bits flipped, or pieces cut out, inserted, doubled or exchanged."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        end = min(len(changed), 2000) if near_start else len(changed)
        at, length = int(rng.integers(max(end, 1))), int(rng.choice([1, 2, 4, 40, 1000]))
        piece = bytes(changed[at : at + length])
        kind = rng.integers(6)
        if kind == 0 and piece:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = rng.bytes(length)
        elif kind == 3:
            changed[at:at] = piece
        elif kind == 4:
            changed[at : at + 4] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\0"])
        else:
            other = int(rng.integers(max(end, 1)))
            changed[other : other + len(piece)] = piece
    return bytes(changed)


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    parts = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, wire type and content of each field of a message of numbers and bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        length = {0: 0, 1: 8, 2: 0, 5: 4}[key & 7]
        if key & 7 == 0:
            yield key >> 3, 0, varint(number())
            continue
        length = number() if key & 7 == 2 else length
        yield key >> 3, key & 7, message[at : at + length]
        at += length


def damage_a_field(message: bytes, rng: Random, levels: int = 5) -> bytes:
    """A protobuf message with one field, at any level, left out, doubled, moved or changed."""
    try:
        parts = [*fields(message)]
    except (KeyError, IndexError):
        return mutated(message, rng)
    if not parts:
        return mutated(message, rng)
    at = int(rng.integers(len(parts)))
    if rng.random() < 0.5:  # the graph is one of many fields, but most of the file
        at = max(range(len(parts)), key=lambda index: len(parts[index][2]))
    number, wire, content = parts[at]
    kind = rng.integers(8)
    if levels and kind < 5 and wire == 2:
        parts[at] = number, wire, damage_a_field(content, rng, levels - 1)
    elif kind == 5:
        parts.insert(int(rng.integers(len(parts) + 1)), parts[at])
    elif kind == 6:
        del parts[at]
    elif kind == 7:
        parts[at] = int(rng.integers(1, 30)), wire, content
    elif wire == 0:
        value = int(rng.choice([0, 1, 2, 3, 7, 2**31, 2**40, 2**62]))
        parts[at] = number, wire, varint(int(rng.choice([value, 2**64 - 1 - value])) & 2**64 - 1)
    else:
        parts[at] = number, wire, mutated(content, rng)
    written = (
        varint(number << 3 | wire) + (varint(len(content)) if wire == 2 else b"") + content
        for number, wire, content in parts
    )
    return b"".join(written)


def damage_a_record(content: bytes, rng: Random) -> bytes:
    """A .pth file with a record changed, doubled, left out or renamed; sizes and sums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    at = 0 if rng.random() < 0.7 else int(rng.integers(len(records)))  # data.pkl is the first
    name, inside = records[at]
    kind = rng.integers(10)
    if kind < 5 and name.endswith(".pkl"):
        records[at] = name, damage_opcodes(inside, rng)
    elif kind < 7:
        records[at] = name, mutated(inside, rng)
    elif kind == 7:
        del records[at]
    elif kind == 8:
        records[at] = records[int(rng.integers(len(records)))][0], inside
    else:
        records[at] = name + str(rng.choice(["0", "/x", ".pkl"])), inside
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for index, (name, inside) in enumerate(dict(records).items()):
            compressed = kind == 6 and index == at and rng.random() < 0.5
            method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            written.writestr(name, inside, compress_type=method)
    return file.getvalue()


def damage_opcodes(pickled: bytes, rng: Random) -> bytes:
    """A pickle whose opcodes are left out, doubled, exchanged or given another number or text."""
    starts = [position or 0 for _, _, position in pickletools.genops(pickled)]
    opcodes = [pickled[a:b] for a, b in zip(starts, [*starts[1:], len(pickled)], strict=True)]
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, other = (int(rng.integers(1, len(opcodes))) for _ in range(2))
        kind = rng.integers(5)
        if kind == 0:
            del opcodes[at]
        elif kind == 1:
            opcodes.insert(at, opcodes[at])
        elif kind == 2:
            opcodes[at], opcodes[other] = opcodes[other], opcodes[at]
        elif kind == 3:
            opcodes[at] = opcodes[other]
        elif opcodes[at][:1] in b"KMJ":
            number = int(rng.choice([0, 1, -1, 2**31 - 1, -(2**31), 1000]))
            opcodes[at] = b"J" + (number & 2**32 - 1).to_bytes(4, "little")
        else:
            opcodes[at] = opcodes[at][:1] + mutated(opcodes[at][1:], rng)
    return b"".join(opcodes)


def in_the_head(content: bytes, rng: Random) -> bytes:
    return mutated(content, rng, near_start=True)


MUTATIONS: dict[str, tuple[str, Callable[[bytes, Random], bytes]]] = {
    "bytes of .onnx": (".onnx", mutated),
    "first bytes of .onnx": (".onnx", in_the_head),
    "fields of .onnx": (".onnx", damage_a_field),
    "bytes of .pth": (".pth", mutated),
    "records of .pth": (".pth", damage_a_record),
}


def peak_memory() -> int:
    """Bytes that this process has used at most; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


class Fuzz:
    """Damaged versions of one file, and what became of them."""

    def __init__(self, kind: str, seed: int, folder: Path) -> None:
        suffix, self.damage = MUTATIONS[kind]
        self.content = weights_path(MODEL, suffix).read_bytes()
        self.path = folder / f"model{suffix}"
        self.rng = np.random.default_rng(seed)
        self.files = self.refused = self.opened = 0
        self.slowest = 0.0  # seconds

    def run(self, *, count: int = sys.maxsize, seconds: float = 1e9) -> None:
        """Open so many files, or as many as take so long; any other error is raised."""
        until = time.monotonic() + seconds
        while self.files < count and time.monotonic() < until:
            self.path.write_bytes(self.damage(self.content, self.rng))
            started = time.process_time()
            try:
                self._use()
            except FaceSegKitError as error:
                assert str(error) and str(error).isprintable() and len(str(error)) < 1000, error
                self.refused += 1
            else:
                self.opened += 1
            self.slowest = max(self.slowest, time.process_time() - started)
            self.files += 1

    def _use(self) -> None:
        """Open the model, and segment grey with it."""
        is_onnx = self.path.suffix == ".onnx"
        model = open_onnx(self.path) if is_onnx else load(self.path).runnable()
        grey = np.full((1, 3, model.input_size, model.input_size), 0.5, np.float32)
        logits = model.predict_logits(grey)
        assert logits.shape == (1, len(model.scheme.class_names), *grey.shape[2:])
        assert np.isfinite(logits).all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="for all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the results")
    options = parser.parse_args()
    results = {}
    for number, kind in enumerate(MUTATIONS):
        with TemporaryDirectory() as folder:
            fuzz = Fuzz(kind, options.seed + number, Path(folder))
            fuzz.run(seconds=60 * options.minutes / len(MUTATIONS))
        results[kind] = {
            "files": fuzz.files,
            "refused": fuzz.refused,
            "opened": fuzz.opened,
            "slowest, s": round(fuzz.slowest, 2),
            "peak memory so far, MB": round(peak_memory() / 1e6),
        }
        print(f"{kind}: {results[kind]}")
    if options.keep:
        save_results("model_fuzz", {"minutes": options.minutes, "kinds": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
