"""Many photos: worker processes or a cluster, results on disk, and an index to continue from."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from facesegkit.batch.index import Entry, Index
from facesegkit.batch.parquet import FaceTable, check_new, keep_whole_parts
from facesegkit.batch.photo import (
    Outcome,
    PhotoJob,
    Settings,
    lost,
    segment_photo,
    version_of,
    written,
)
from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write, clear_unfinished
from facesegkit.system.processes import cores, process_map

_PHOTOS_PER_WORKER = 8  # fewer do not pay for starting a process, unless the user asks for it

# Something that segments photos, in any order.
Engine = Callable[[Settings, Sequence[PhotoJob]], Generator[Outcome, None, None]]


@dataclass(frozen=True)
class Batch:
    """A batch of photos, prepared: what is to do, and how its results are kept."""

    settings: Settings
    jobs: Sequence[PhotoJob]
    done: int  # photos that need not be segmented again
    index: Index | None
    table: FaceTable | None
    fingerprint: str

    def outcomes(self, engine: Engine) -> Generator[Outcome, None, None]:
        """Segment the photos; yields what became of each, in the order in which they are done.

        Raises a FaceSegKitError if the index or a Parquet file cannot be written, or if processes
        end unexpectedly again and again.
        """
        try:
            with closing(engine(self.settings, self.jobs)) as outcomes:
                for outcome in outcomes:
                    finished = _saved(outcome)
                    if not finished.error:
                        self._keep(finished)
                    yield replace(finished, rows=(), content=None)
        finally:
            for folder in {Path(job.output).parent for job in self.jobs}:
                with suppress(OSError):
                    clear_unfinished(folder)  # of processes that were killed
            if self.table is not None:
                self.table.flush()

    def _keep(self, outcome: Outcome) -> None:
        if self.table is not None:
            self.table.add(outcome)
        elif self.index is not None:
            self.index.add([Entry.of(outcome, self.fingerprint, None)])


def prepare(
    outputs: Mapping[str, Path],
    settings: Settings,
    folder: Path | None,
    *,
    classes: Sequence[str],
    resume: bool = False,
) -> Batch:
    """Prepare a batch: which photos are still to do.

    Args:
        outputs: the file for the image of each photo.
        folder: of the results; without one, there is neither an index nor a Parquet file.
        classes: of the model.
        resume: leave out photos that are done and have not changed.

    Raises:
        FaceSegKitError: if the model or the index cannot be read, or there are Parquet files of
            another run.
    """
    if folder is None:
        jobs = [PhotoJob(photo, str(output)) for photo, output in outputs.items()]
        return Batch(settings, jobs, 0, None, None, "")
    fingerprint, index = settings.fingerprint(), Index(folder)
    done: set[str] = set()
    if resume:
        for photo, output in outputs.items():
            image = output.name if settings.view is not None else None
            if index.is_done(photo, version_of(photo), fingerprint, image):
                done.add(photo)
    table = FaceTable(index, classes, fingerprint) if settings.rows else None
    if table is not None and not resume:
        check_new(folder)
    elif table is not None:
        done &= keep_whole_parts(index, outputs.keys() - done, set(outputs))
    jobs = [PhotoJob(photo, str(output)) for photo, output in outputs.items() if photo not in done]
    return Batch(settings, jobs, len(done), index, table, fingerprint)


def local_engine(workers: int | None) -> Engine:
    """Segments photos on this machine, by default with as many processes as it has cores."""

    def outcomes(settings: Settings, jobs: Sequence[PhotoJob]) -> Generator[Outcome, None, None]:
        enough = -(-len(jobs) // _PHOTOS_PER_WORKER)
        processes = min(cores(), enough) if workers is None else min(workers, len(jobs))
        work = partial(segment_photo, settings)
        if processes <= 1:
            yield from map(work, jobs)
            return
        doing = "segmented photos"
        with closing(process_map(work, jobs, processes, doing=doing, lost=lost)) as results:
            for _, outcome in results:
                yield outcome

    return outcomes


def _saved(outcome: Outcome) -> Outcome:
    """Write the image of a photo that was segmented elsewhere."""
    if outcome.content is None:
        return outcome
    path = Path(outcome.job.output)
    try:
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(outcome.content)
        return replace(outcome, image=written(path), content=None)
    except FaceSegKitError as error:
        return Outcome(outcome.job, str(error))
