"""Several processes that work as one, as torchrun starts them: training, scoring and packing.

Where there is but one process, the usual case, nothing here does anything, and PyTorch is not
imported for it.
"""

from __future__ import annotations

import gc
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

Thing = TypeVar("Thing")
Things = TypeVar("Things", list[Any], NDArray[Any])

# One process may pack or draw for the others; one that has died is seen by torchrun, not by time.
_PATIENCE = timedelta(hours=3)


def join() -> None:
    """Be one of the processes that torchrun has started, if it has; only the first one prints."""
    if run_id() is None:
        return
    import torch

    # The first optimiser imports this, and were the processes joined by then, their threads would
    # never end (PyTorch 2.13): now and then a process that has done its work aborts for it.
    import torch._dynamo
    import torch.distributed as dist

    if _has_gpu_of_its_own():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backends = "cpu:gloo,cuda:nccl" if _has_gpu_of_its_own() else "gloo"
    store, rank, size = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # After a restart the store still has the addresses of the processes before (PyTorch 2.13).
        # Of several machines each counts its own restarts, so there this is of no use.
        store = dist.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


def leave() -> None:
    """Part from the other processes, when all is well: who fails is waited for by torchrun."""
    if are_several():
        import torch.distributed as dist

        gc.collect()  # what still knows the others keeps the threads of this engine from ending
        dist.destroy_process_group()


def _has_gpu_of_its_own() -> bool:
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return torch.cuda.is_available() and here <= torch.cuda.device_count()


def are_several() -> bool:
    """Whether other processes have joined this one."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """How many processes there are."""
    if not are_several():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


def rank() -> int:
    """The number of this process, from 0."""
    if not are_several():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def processes_here() -> int:
    """How many of the processes run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if are_several() else 1


def is_first() -> bool:
    """Whether this process writes the files that the others read."""
    return rank() == 0


def run_id() -> str | None:
    """What torchrun calls this run, also after it had to start it again; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def may_be_a_restart() -> bool:
    """Whether torchrun may have started this run's processes before.

    On one machine it counts. One that joins others again begins to count anew, so there the run's
    name has to tell, which is "none" unless it was given.
    """
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        return True
    return os.environ.get("GROUP_WORLD_SIZE", "1") != "1" and run_id() not in (None, "none")


def best_device() -> torch.device:
    """A GPU of this process's own where there is one, else the CPU."""
    import torch

    if _has_gpu_of_its_own():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def shard(things: Things) -> Things:
    """Those of the things, every n-th, that are this one's of n processes to work on."""
    return things[rank() :: world_size()]


def barrier() -> None:
    """Go on when all processes have come this far."""
    if are_several():
        import torch.distributed as dist

        dist.barrier()


def broadcast(thing: Thing) -> Thing:
    """What the first process has; the same kind of thing in all of them."""
    if not are_several():
        return thing
    import torch.distributed as dist

    things = [thing]
    dist.broadcast_object_list(things, src=0)
    return things[0]


def all_gather(thing: Thing) -> list[Thing]:
    """What each process has, by rank."""
    if not are_several():
        return [thing]
    import torch.distributed as dist

    things: list[Any] = [None] * world_size()
    dist.all_gather_object(things, thing)
    return things


def all_reduce_sum(numbers: NDArray[Any]) -> NDArray[Any]:
    """The sum over all processes of arrays of one shape, which numpy has."""
    if not are_several():
        return numbers
    import torch
    import torch.distributed as dist

    total = torch.from_numpy(numbers.copy())
    dist.all_reduce(total)
    return total.numpy()


def differentiable_all_reduce(amount: torch.Tensor) -> torch.Tensor:
    """The sum over all processes of a tensor of one shape, through which gradients flow.

    Each process then has the same loss, and gets the sum of the gradients of all processes. That
    is larger by the number of processes than `data_parallel`, which averages gradients, needs: it
    makes up for the average. Without gradients, as in validation, where processes may have
    different numbers of batches, the tensor itself is returned.
    """
    if not are_several():
        return amount
    import torch
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(amount) if torch.is_grad_enabled() else amount


def mean_buffers(model: nn.Module) -> None:
    """Have batch normalisation know the mean, in place, of what all processes have counted."""
    if not are_several():
        return
    import torch
    import torch.distributed as dist

    counted = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    together = torch.cat([buffer.flatten() for buffer in counted])
    dist.all_reduce(together)
    means = (together / world_size()).split([buffer.numel() for buffer in counted])
    for buffer, mean in zip(counted, means, strict=True):
        buffer.copy_(mean.view_as(buffer))


def data_parallel(module: nn.Module) -> nn.Module:
    """A module whose gradients are the mean over all processes."""
    if not are_several():
        return module
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(module)
