"""Work that is shared between processes, and work that only one of them may do at a time."""

from __future__ import annotations

import hashlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from facesegkit.errors import FaceSegKitError

_UNSAID = 1.0  # seconds that one process waits for another before it says so
_CGROUP = Path("/sys/fs/cgroup/cpu.max")

# Nothing is imported from the folder that the user happens to be in, unless the parent does so.
_WORK = """
import sys
sys.path[:] = filter(None, sys.path)
from facesegkit.system.processes import _work
_work()
"""

Order = TypeVar("Order")
Answer = TypeVar("Answer")


def process_map(
    task: Callable[[Order], Answer], orders: Sequence[Order], workers: int, *, doing: str
) -> Generator[tuple[Order, Answer], None, None]:
    """Have a task done for every order; yields orders as they are done, and their answers.

    An error in a task is raised here, once those that have begun are done; so does closing the
    generator end the work.

    Args:
        task: can be pickled, like all that it gets and gives.
        orders: one for each call of it.
        workers: number of processes, at most.
        doing: what they do, for the message where one of them is killed.

    Raises:
        FaceSegKitError: a process has ended that should not have.
    """
    workers = min(workers, len(orders))
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def run(order: Order) -> Answer:
        worker = idle.get()
        try:
            answer: Answer = worker.run(order)
            return answer
        finally:
            idle.put(worker)

    with ExitStack() as stack:
        for _ in range(workers):
            idle.put(stack.enter_context(_Worker(task, doing)))
        threads = stack.enter_context(ThreadPoolExecutor(max(workers, 1)))
        stack.callback(threads.shutdown, cancel_futures=True)
        futures = {threads.submit(run, order): order for order in orders}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Be the user's only process here that fills a folder; waits for another one, and says so.

    The lock is the system's own, so it ends with the process that holds it, killed or not. Its
    file lies in the folder for temporary files: a folder that is only read may be read-only.
    """
    from filelock import FileLock, Timeout

    # By number, where there is one: in a container users may have no name.
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    digest = hashlib.sha256(os.fsencode(f"{user} {folder.resolve()}")).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir(), f"facesegkit-{digest}.lock"))
    try:
        lock.acquire(timeout=_UNSAID)
    except Timeout:
        print(f"Another process is at work in {folder}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cores() -> int:
    """Cores that this process may use, or so many as its container's share amounts to."""
    has_affinity = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # where there are no such groups, or the share is "max"
        share, of_microseconds = map(int, _CGROUP.read_text().split())
        allowed = min(allowed, max(1, share // of_microseconds))
    return allowed


class _Worker:
    """A process that runs `_work`, seen from this one.

    Pipes instead of `multiprocessing`: the processes that it spawns import the caller's main
    module again, which fails for a script without `if __name__ == "__main__"` and costs each of
    them the memory of whatever that script imports (torch). And a pipe ends with the process
    that holds its other end: when the parent is killed, no worker is left behind.
    """

    def __init__(self, task: Callable[[Any], Any], doing: str) -> None:
        self._doing = doing
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C reaches the parent, which ends us.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows'
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                # On Linux: keep the memory of one picture for the next, instead of returning it
                # to the system each time, which takes 7 % of the processor time.
                "MALLOC_MMAP_THRESHOLD_": str(2**25),
                "MALLOC_TRIM_THRESHOLD_": str(2**27),
            },
        )
        assert self._process.stdin and self._process.stdout
        self._orders, self._answers = self._process.stdin, self._process.stdout
        with suppress(BrokenPipeError):  # it has ended already: `run` finds that out, and says so
            self._send(task)

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):  # closing flushes, and the process may be gone
            self._orders.close()
        self._process.wait()
        self._answers.close()

    def run(self, order: object) -> Any:
        """The task's answer to an order; raises what the task has raised."""
        try:
            self._send(order)
            done, answer = pickle.load(self._answers)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise FaceSegKitError(
                f"A process that {self._doing} has ended unexpectedly (exit code "
                f"{self._process.wait()}); the same command again goes on where this one was."
            ) from error
        if not done:
            raise answer
        return answer

    def _send(self, message: object) -> None:
        pickle.dump(message, self._orders)
        self._orders.flush()


def _work() -> None:
    """Run a task on what comes in on standard input, until that ends.

    Messages are pickles. First comes the task, then orders; each is answered on standard output
    with (True, its answer) or (False, the error that stopped it).
    """
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a task prints is no answer
    try:
        task = pickle.load(orders)
        while True:
            order = pickle.load(orders)
            answer: tuple[bool, object]
            try:
                answer = True, task(order)
            except Exception as error:
                answer = False, error
            pickle.dump(answer, answers)
            answers.flush()
    except (EOFError, pickle.UnpicklingError):  # cut off, where the parent was killed
        return
    except BrokenPipeError:  # the same, and nobody is there to tell
        os._exit(1)
