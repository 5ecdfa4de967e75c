"""What is known about the processor that a lesson runs on: its name and its instructions."""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

# Flags in /proc/cpuinfo of instructions that multiply bytes and add up four products in 32 bits:
# VNNI on x86, the dot product on ARM.
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


@dataclass(frozen=True)
class Processor:
    """A processor, as far as it can be found out without another package."""

    name: str
    instructions: str  # the widest vector instructions that PyTorch uses on it
    has_int8_dot_product: bool | None  # None: unknown

    def __str__(self) -> str:
        answer = {True: "yes", False: "no", None: "unknown"}[self.has_int8_dot_product]
        return f"{self.name}, vectors: {self.instructions}, int8 dot products: {answer}"


def this_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The processor of this machine; `cpuinfo` exists on Linux."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    pairs = [
        (key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)
    ]
    fields = dict(reversed(pairs))  # of the first core
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    return Processor(
        name=fields.get("model name") or platform.processor() or platform.machine(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        has_int8_dot_product=bool(flags & INT8_FLAGS) if flags else _apple_silicon(),
    )


def _apple_silicon() -> bool | None:
    """True for Apple's own processors, which all have it; otherwise unknown."""
    return True if (platform.system(), platform.machine()) == ("Darwin", "arm64") else None
