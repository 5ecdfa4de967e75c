"""Where the commands start: before anything is imported that takes time or can fail.

Services, pipes and terminals of any encoding are prepared for here, so that no other code needs to
think of a standard output that is closed, full or cannot show a character.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import contextmanager

TYPE_CHECKING = False  # importing `typing` would take 4 ms, in which Ctrl-C gives a traceback
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

INTERRUPTED = 130
_TERMINATED = 143  # internal; the process ends by the signal itself
_NOBODY_READS = (errno.EPIPE, errno.EINVAL, errno.ESHUTDOWN)  # EINVAL: a closed pipe on Windows


def main(arguments: Sequence[str] | None = None) -> int:
    """The `facesegkit` command; returns its exit status."""
    return _run("main", arguments)


def segment_one(arguments: Sequence[str] | None = None) -> int:
    """The command `python inference.py`; returns its exit status."""
    return _run("segment_one", arguments)


def _run(name: str, arguments: Sequence[str] | None) -> int:
    with interrupted_at_once():
        output = _prepare_streams()
        from facesegkit.cli import main as commands
    status = 0
    try:
        _end_in_order()
        status = getattr(commands, name)(arguments)
    except SystemExit as error:  # argparse has printed a message or help
        status = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:  # before or after what `commands` handles
        status = INTERRUPTED
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the work is done: no traceback from here on
    status = _flushed(status, output)
    if status == _TERMINATED:  # whoever sent the signal is told that it was heard
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    return status


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process without a word, while modules are imported.

    An interrupted import can end in any error, such as an ImportError of NumPy's. Nothing has been
    written then, so nothing has to be put in order.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # Ctrl-C is ignored, or handled by a program that calls the command
        return
    try:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_in_order() -> None:
    """Let SIGTERM, as of timeout or systemd, remove unfinished files, as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(_TERMINATED)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        try:
            signal.signal(signal.SIGTERM, end)
        except ValueError:  # not in the main thread
            return


class _Output(io.FileIO):
    """A file that never fails: what nobody can read is dropped, and the work goes on."""

    problem = ""  # why something was lost, unless its reader has closed the pipe

    def write(self, data: object, /) -> int:
        try:
            written: int | None = super().write(data)  # type: ignore[arg-type]
            return written  # type: ignore[return-value]
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                self.problem = error.strerror or str(error)
            return len(memoryview(data).cast("B"))  # type: ignore[arg-type]


def _prepare_streams() -> _Output | None:
    """Give the process a standard output and error that can take any text; return the former.

    Python has none where a service, cron or pythonw closed them. Then the first files that are
    opened would get their numbers, and what libraries print would end up in them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout, output = _prepared(sys.stdout)
    sys.stderr, _ = _prepared(sys.stderr)
    return output


def _prepared(stream: TextIO | None) -> tuple[TextIO, _Output | None]:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace"), None
    if stream not in (sys.__stdout__, sys.__stderr__) or not isinstance(stream, io.TextIOWrapper):
        return stream, None  # a notebook's, or another program's that calls the command
    stream.reconfigure(errors="backslashreplace")
    if os.name == "nt" and stream.isatty():  # a console, which Python writes to by other means
        return stream, None
    stream.flush()
    output = _Output(stream.fileno(), "w", closefd=False)
    is_unbuffered = stream.line_buffering or stream.write_through
    text = io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=is_unbuffered,
    )
    return text, output


def _flushed(status: int, output: _Output | None) -> int:
    """Write what is still buffered; the exit status, 1 if what was printed is lost."""
    sys.stdout.flush()
    if output is not None and output.problem:
        print(f"facesegkit: what was printed is incomplete: {output.problem}.", file=sys.stderr)
        status = status or 1
    sys.stderr.flush()
    return status
