"""Settings that make PyTorch faster on a CPU."""

import ctypes
import platform
import timeit

import torch
import torch.nn.functional as F


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next tensor instead of returning it to the kernel.

    By default every large tensor gets new pages, which the kernel zeroes one page fault at a time:
    a third of a training step. With other C libraries this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # mallopt(3): M_TRIM_THRESHOLD, M_MMAP_MAX
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def bf16_is_faster(device: torch.device | None = None) -> bool:
    """Whether a device, by default the CPU, convolves in bfloat16 clearly faster than in float32.

    CPUs with AVX512-BF16 or AMX take about half the time; others emulate bfloat16 and are far
    slower. NVIDIA GPUs are faster since Ampere (2020).
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    images = torch.rand(4, 32, 64, 64).contiguous(memory_format=torch.channels_last)
    weights = torch.rand(32, 32, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        x, w = images.to(dtype), weights.to(dtype)
        return min(timeit.repeat(lambda: F.conv2d(x, w), repeat=5, number=1))

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)
