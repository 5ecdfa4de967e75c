"""What may happen to files on their way."""

from __future__ import annotations

import numpy as np


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """With some bytes changed, taken out or put in, mostly near the start."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        place = int(rng.integers(min(len(changed), rng.choice([64, 400, len(changed)]))))
        kind = rng.integers(4)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place : place + 4] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0"])
        elif kind == 2:
            del changed[place : place + min(int(rng.choice([1, 2, 8, 100])), len(changed) - 1)]
        else:
            changed[place:place] = rng.bytes(int(rng.choice([1, 4, 50])))
    return bytes(changed)
