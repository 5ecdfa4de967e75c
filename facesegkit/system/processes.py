"""Worker processes, and a lock that only one process can hold."""

import hashlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from facesegkit.errors import FaceSegKitError

_WORKERS_PER_CORE = 2  # one computes while another reads or writes
_QUIET_SECONDS = 1.0  # that a process waits for another one before it prints a message
_GRACE_SECONDS = 0.5  # that a process has to remove its unfinished files
_AHEAD = 4  # calls per process that are handed out before the results of earlier ones are taken
_MAX_LOST_IN_A_ROW = 8  # calls that end their process, before something else must be wrong
_CGROUP = Path("/sys/fs/cgroup/cpu.max")

# Removes the user's current folder from the import path, unless the parent imports from it too.
_WORKER = """
import sys
sys.path[:] = filter(None, sys.path)
from facesegkit.system.processes import _work
_work()
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


def process_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    doing: str,
    lost: Callable[[Item, str], Result] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Call a function for every item in worker processes; yield items and results as completed.

    The function, its argument and its result are picklable. An error in it is raised here, after
    the calls in progress have ended. Ctrl-C, or closing the generator, ends them at once (on
    Windows, after the call in progress). Memory does not grow with the number of items.

    Args:
        workers: maximum number of processes.
        doing: what they do (in the past tense), for the message if one of them is killed.
        lost: replaces a process that is killed by a new one, which calls the function once more.
            If that is killed as well, `lost` gives the result, from the item and a description
            of what happened.

    Raises:
        FaceSegKitError: if a process ends unexpectedly, without `lost` or again and again.
    """
    pool = _Pool(function, max(1, min(useful_workers(workers), len(items))), doing, lost)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        for item in islice(waiting, _AHEAD * pool.workers):
            running[pool.submit(item)] = item
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item, result = running.pop(future), future.result()
                for following in islice(waiting, 1):
                    running[pool.submit(following)] = following
                yield item, result
    except (KeyboardInterrupt, GeneratorExit):
        pool.stop()
        raise
    finally:
        pool.close()


class _Pool(Generic[Item, Result]):
    """Worker processes, and as many threads that wait for their answers."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        workers: int,
        doing: str,
        lost: Callable[[Item, str], Result] | None,
    ) -> None:
        self.workers, self._lost, self._lost_in_a_row = workers, lost, 0
        self._start = lambda: _Worker(function, doing)
        self._all = [self._start() for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers)
        self._stopped = False

    def submit(self, item: Item) -> Future[Result]:
        return self._threads.submit(self._run, item)

    def stop(self) -> None:
        """End the calls in progress; on Windows, where they would leave files, let them finish."""
        self._stopped = True
        if os.name != "posix":
            return
        for worker in self._all:
            worker.terminate()
        for worker in self._all:
            worker.end()

    def close(self) -> None:
        """End the processes, after the calls in progress."""
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def _run(self, item: Item) -> Result:
        worker = self._idle.get()
        try:
            try:
                return self._result(worker, item)
            except _EndedError:
                if self._lost is None or self._stopped:
                    raise
            worker = self._replace(worker)
            try:
                return self._result(worker, item)
            except _EndedError as error:
                self._lost_in_a_row += 1
                if self._stopped or self._lost_in_a_row >= _MAX_LOST_IN_A_ROW:
                    raise
                worker = self._replace(worker)
                return self._lost(item, error.reason)
        finally:
            self._idle.put(worker)

    def _result(self, worker: "_Worker", item: Item) -> Result:
        result = cast(Result, worker.run(item))
        self._lost_in_a_row = 0
        return result

    def _replace(self, worker: "_Worker") -> "_Worker":
        worker.close()
        self._all.remove(worker)
        worker = self._start()
        self._all.append(worker)
        if self._stopped:  # meanwhile
            worker.terminate()
        return worker


class _EndedError(FaceSegKitError):
    """A process has ended unexpectedly."""

    def __init__(self, doing: str, exit_code: int) -> None:
        self.reason = f"its process ended unexpectedly (exit code {exit_code}), also a second time"
        end = f"has ended unexpectedly (exit code {exit_code})"
        again = "run the same command again to continue."
        super().__init__(f"A process that {doing} {end}; {again}")


def useful_workers(workers: int) -> int:
    """At most two processes per core, with a message on standard error if that is less."""
    most = _WORKERS_PER_CORE * cores()
    if workers > most:
        here = f"{cores()} core{'s' if cores() > 1 else ''}"
        print(f"{workers} workers are more than {here} can use: {most} are used.", file=sys.stderr)
    return min(workers, most)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Be the only process of this user on this machine that fills a folder.

    Waits for another process, and prints a message about it. The operating system releases the
    lock if its process is killed. The lock file is in the folder for temporary files, because
    `folder` may be read-only.
    """
    from filelock import FileLock, Timeout

    # By number if there is one: users of a container may have no name.
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    digest = hashlib.sha256(os.fsencode(f"{user} {folder.resolve()}")).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir(), f"facesegkit-{digest}.lock"))
    try:
        held = lock.acquire(timeout=_QUIET_SECONDS)
    except Timeout:
        print(f"Waiting for another process that is writing to {folder}.", file=sys.stderr)
        held = lock.acquire()
    with held:
        yield


def cores() -> int:
    """Number of cores that this process may use, also within a container's CPU limit."""
    has_affinity = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # without cgroups, or if the quota is "max"
        quota, period = map(int, _CGROUP.read_text().split())
        allowed = min(allowed, max(1, quota // period))
    return allowed


class _Worker:
    """A process that runs `_work`, seen from the parent.

    Not `concurrent.futures.ProcessPoolExecutor`: its processes import the caller's main module
    again, which fails for a script without `if __name__ == "__main__"` and costs each of them the
    memory of its imports such as torch (`test_a_script_needs_no_main_guard`); and they stay
    forever if it is killed (`test_workers_end_when_their_parent_is_killed`). Pipes close with it.
    """

    def __init__(self, function: Callable[[Any], Any], doing: str) -> None:
        self._doing = doing
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            # Ctrl-C is for the parent, which ends its workers.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                # glibc: keep the memory of one image for the next instead of returning it to the
                # system each time, which takes 7 % of the CPU time.
                "MALLOC_MMAP_THRESHOLD_": str(2**25),
                "MALLOC_TRIM_THRESHOLD_": str(2**27),
            },
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        self._items, self._results = self._process.stdin, self._process.stdout
        with suppress(BrokenPipeError):  # it has ended already, which `run` will report
            pickle.dump(function, self._items)
            self._items.flush()

    def terminate(self) -> None:
        """Ask the process to remove its unfinished files and end."""
        self._process.terminate()

    def end(self) -> None:
        """End the process if it has not soon done so itself."""
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def close(self) -> None:
        with suppress(BrokenPipeError):  # closing flushes, and the process may have ended
            self._items.close()
        self._process.wait()
        self._results.close()

    def run(self, item: object) -> Any:
        """The function's result for an item; raises what the function raises."""
        try:
            pickle.dump(item, self._items)
            self._items.flush()
            succeeded, result = pickle.load(self._results)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise _EndedError(self._doing, self._process.wait()) from error
        if not succeeded:
            raise result
        return result


def _work() -> None:
    """Read a function, then items; write (True, result) or (False, error) for each, all pickled."""
    items, results = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what the function prints is not a result
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that unfinished files are removed
    try:
        function = pickle.load(items)
        while True:
            item = pickle.load(items)
            try:
                answer = True, function(item)
            except Exception as error:
                answer = False, error
            pickle.dump(answer, results)
            results.flush()
    except (EOFError, pickle.UnpicklingError):  # the parent has finished, or was killed
        pass
    except BrokenPipeError:  # the parent was killed; exit without flushing
        os._exit(1)
