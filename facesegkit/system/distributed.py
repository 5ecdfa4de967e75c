"""Several processes that work together, as torchrun starts them: training, evaluation, caching.

With a single process, the usual case, these functions do nothing and do not import PyTorch.
"""

from __future__ import annotations

import gc
import os
import sys
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

Value = TypeVar("Value")
Items = TypeVar("Items", list[Any], NDArray[Any])

# The others wait while one builds the cache or synthesizes faces. torchrun notices processes that
# have died, so no shorter timeout is needed.
_TIMEOUT = timedelta(hours=3)


def join() -> None:
    """Join the processes that torchrun started, if it did; only the first one prints."""
    if run_id() is None:
        return
    import torch

    # The first optimizer imports this. If the processes joined before that, their threads would
    # never end (PyTorch 2.13), and some processes would abort after finishing their work.
    import torch._dynamo
    import torch.distributed as dist

    if _has_own_gpu():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backends = "cpu:gloo,cuda:nccl" if _has_own_gpu() else "gloo"
    store, rank, size = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # After a restart the store still has the addresses of the old processes (PyTorch 2.13). On
        # several machines this does not help, since each counts its own restarts.
        store = dist.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def leave() -> None:
    """Leave the other processes after success; after a failure torchrun ends them."""
    if dist := _joined():
        gc.collect()  # objects that refer to the group would keep its threads from ending
        dist.destroy_process_group()


def _has_own_gpu() -> bool:
    import torch

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return torch.cuda.is_available() and processes <= torch.cuda.device_count()


def _joined() -> ModuleType | None:
    """The module torch.distributed if other processes have joined this one, else None."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None


def are_several() -> bool:
    """Whether other processes have joined this one."""
    return _joined() is not None


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if (dist := _joined()) else 1


def rank() -> int:
    """Index of this process, from 0."""
    return dist.get_rank() if (dist := _joined()) else 0


def processes_here() -> int:
    """Number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if are_several() else 1


def is_first() -> bool:
    """Whether this is the process that writes the files and prints."""
    return rank() == 0


def run_id() -> str | None:
    """torchrun's id of this run, the same after a restart; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def may_be_a_restart() -> bool:
    """Whether torchrun may have started this run's processes before.

    On one machine torchrun counts restarts. On several, a machine that joins again starts counting
    anew, so a run with an id of its own (the default is "none") may always be a restart.
    """
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        return True
    return os.environ.get("GROUP_WORLD_SIZE", "1") != "1" and run_id() not in (None, "none")


def best_device() -> torch.device:
    """A GPU that no other process uses if there is one, else the CPU."""
    import torch

    return torch.device(f"cuda:{torch.cuda.current_device()}" if _has_own_gpu() else "cpu")


def shard(items: Items) -> Items:
    """The items that this process has to work on: every n-th of n processes."""
    return items[rank() :: world_size()]


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if dist := _joined():
        dist.barrier()


def broadcast(value: Value) -> Value:
    """The value of the first process."""
    values = [value]
    if dist := _joined():
        dist.broadcast_object_list(values, src=0)
    return values[0]


def all_gather(value: Value) -> list[Value]:
    """The values of all processes, by rank."""
    values = [value] * world_size()
    if dist := _joined():
        dist.all_gather_object(values, value)
    return values


def all_reduce_sum(array: NDArray[Any]) -> NDArray[Any]:
    """Sum of an array over all processes."""
    if not (dist := _joined()):
        return array
    import torch

    total = torch.from_numpy(array.copy())
    dist.all_reduce(total)
    return total.numpy()


def differentiable_all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over all processes, through which gradients flow.

    Each of the n processes then computes the same loss. Its gradients are multiplied by n here,
    because `data_parallel` averages them. Without gradients, as in validation, where processes may
    have different numbers of batches, the tensor itself is returned.

    torch.distributed.nn.functional.all_reduce would do the same, but is deprecated (PyTorch 2.13).
    """
    import torch

    if not (dist := _joined()) or not torch.is_grad_enabled():
        return tensor
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total + world_size() * (tensor - tensor.detach())  # the second term is 0


def mean_buffers(model: nn.Module) -> None:
    """Average the running statistics of batch normalization over all processes, in place."""
    if not (dist := _joined()):
        return
    import torch

    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    total = torch.cat([buffer.flatten() for buffer in buffers])
    dist.all_reduce(total)
    means = (total / world_size()).split([buffer.numel() for buffer in buffers])
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean.view_as(buffer))


def data_parallel(module: nn.Module) -> nn.Module:
    """The module, with its gradients averaged over all processes."""
    if not are_several():
        return module
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(module)
