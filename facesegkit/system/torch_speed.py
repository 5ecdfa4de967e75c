"""TODO."""

from __future__ import annotations

import ctypes
import platform
import time

import torch
import torch.nn.functional as F


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next tensor instead of returning it to the kernel.

    By default every large tensor is fresh memory, whose pages the kernel clears one fault at a
    time: a third of a training step. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # mallopt(3): M_TRIM_THRESHOLD, M_MMAP_MAX
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def bf16_is_faster(device: torch.device | None = None) -> bool:
    """Whether a device, by default the CPU, convolves in bfloat16 clearly faster than in float32.

    With AVX512-BF16 or AMX a CPU does, by half; without, bfloat16 is emulated and far slower.
    GPUs do since NVIDIA's Ampere (2020).
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    images = torch.rand(4, 32, 64, 64).contiguous(memory_format=torch.channels_last)
    weights = torch.rand(32, 32, 3, 3)

    def seconds(kind: torch.dtype) -> float:
        x, w = images.to(kind), weights.to(kind)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            F.conv2d(x, w)
            times.append(time.perf_counter() - started)
        return min(times)

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)
