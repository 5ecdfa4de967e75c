"""Segmentation on several machines with Ray Data (https://docs.ray.io).

Photos are files that all machines see under the same path, or URIs such as s3://bucket/photo.jpg.
The results come back to the machine that started the run.
"""

import logging
import os
import pickle
import tempfile
import time
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facesegkit.batch.photo import Outcome, PhotoJob, Settings, Version, segment_photo
from facesegkit.batch.remote import base_name, download
from facesegkit.batch.run import Engine
from facesegkit.errors import FaceSegKitError, counted, first_line

BATCH = 16  # photos, which are repeated if their worker is killed
_READERS = 8  # photos that a worker reads at the same time, since storage may answer slowly
_PATIENCE = 10.0  # seconds until the cores of a run that has just ended are free
_RETRIES = 3  # of a batch whose worker is killed; one of its photos may be the reason


class SegmentBatch:
    """A worker, for `Dataset.map_batches`: takes pickled `PhotoJob`s, returns pickled `Outcome`s.

    Raises a FaceSegKitError if the model cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        settings.segmenter()  # so that an error in the model ends the run

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        jobs = [pickle.loads(job) for job in batch["job"]]
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_READERS) as readers:
            files = readers.map(lambda job: _File.of(job, Path(folder)), jobs)
            return {"outcome": [pickle.dumps(self._segment(file)) for file in files]}

    def _segment(self, file: "_File") -> Outcome:
        if file.error:
            return Outcome(file.job, file.error)
        done = segment_photo(self._settings, PhotoJob(file.photo, file.output))
        content = Path(file.output).read_bytes() if done.image else None
        for path in {file.photo, file.output} - {file.job.photo}:
            Path(path).unlink(missing_ok=True)
        rows = tuple(row | {"photo": file.job.photo} if file.is_copy else row for row in done.rows)
        error = done.error.replace(file.photo, file.job.photo)
        version = file.version if file.is_copy else done.version
        return replace(done, job=file.job, error=error, version=version, content=content, rows=rows)


@dataclass(frozen=True)
class _File:
    """A photo that a worker can read, and where it writes the result."""

    job: PhotoJob
    photo: str
    output: str
    version: Version = (-1, -1)
    error: str = ""

    @property
    def is_copy(self) -> bool:
        return self.photo != self.job.photo

    @classmethod
    def of(cls, job: PhotoJob, folder: Path) -> "_File":
        place = Path(tempfile.mkdtemp(dir=folder))
        output = str(place / f"result{Path(job.output).suffix}")
        if "://" not in job.photo:
            return cls(job, job.photo, output)
        photo = place / f"photo{Path(base_name(job.photo)).suffix}"
        try:
            version = download(job.photo, photo)
        except FaceSegKitError as error:
            return cls(job, "", "", error=str(error))
        return cls(job, str(photo), output, version)


def ray_engine(address: str, workers: int | None = None) -> Engine:
    """Segments photos on a Ray cluster, by default with as many workers as it has cores.

    `address` is that of the cluster's head, "auto", or "local" to start Ray on this machine.
    """

    def outcomes(settings: Settings, jobs: Sequence[PhotoJob]) -> Generator[Outcome, None, None]:
        ray, is_ours = _connected(address)
        missing = {job.photo: job for job in jobs}
        try:
            dataset = _segmented(ray, settings, jobs, workers)
            for row in dataset.iter_rows() if jobs else ():
                outcome = pickle.loads(row["outcome"])
                if missing.pop(outcome.job.photo, None):
                    yield outcome
            for photo, job in missing.items():
                reason = f"its worker was killed {counted(_RETRIES + 1, 'time')}"
                advice = f"one of the {BATCH} photos of its batch may need too much memory"
                yield Outcome(job, f"{photo} could not be segmented: {reason}; {advice}.")
        except ray.exceptions.RayError as error:
            advice = "see 'ray status' and the logs of Ray"
            raise FaceSegKitError(f"Ray stopped: {first_line(error)}; {advice}.") from error
        finally:
            if is_ours:
                ray.shutdown()

    return outcomes


def _segmented(ray: Any, settings: Settings, jobs: Sequence[PhotoJob], workers: int | None) -> Any:
    """A data set of pickled outcomes, each of whose blocks is one batch."""
    items = [{"job": pickle.dumps(job)} for job in jobs]
    photos = ray.data.from_items(items, override_num_blocks=max(1, -(-len(jobs) // BATCH)))
    with warnings.catch_warnings():  # Ray before 2.64 has no other way to limit retries
        warnings.filterwarnings("ignore", "`ray_remote_args`")
        return photos.map_batches(
            SegmentBatch,
            fn_constructor_args=(settings,),
            batch_size=None,  # a whole block, since that is what a lost worker repeats
            compute=_pool(ray, workers),
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )


def _connected(address: str) -> tuple[Any, bool]:
    """The module `ray`, connected to a cluster; also whether it was not connected before."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns about what is intended here
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        fix = "pip install 'facesegkit[ray]'"
        raise FaceSegKitError(
            f"--ray needs {error.name}, which is not installed: {fix}."
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        if is_ours := not ray.is_initialized():
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # ConnectionError, ValueError, RuntimeError
        advice = "start it with 'ray start --head', or use --ray local"
        problem = f"There is no Ray cluster at {address} ({first_line(error)})"
        raise FaceSegKitError(f"{problem}; {advice}.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # of batches whose workers are killed again and again
    return ray, is_ours


def _pool(ray: Any, workers: int | None) -> Any:
    """Workers for all cores, or as many as wanted; they begin as soon as one has a core.

    Photos are read by the workers themselves, so Ray needs no cores besides them. More workers than
    cores would wait for ever without a word: that raises a FaceSegKitError.
    """
    cores = int(ray.cluster_resources().get("CPU", 0))
    until = time.monotonic() + _PATIENCE
    while not (free := int(ray.available_resources().get("CPU", 0))) and time.monotonic() < until:
        time.sleep(0.2)
    if (workers or 1) > cores:
        problem = f"--workers {workers or 1} needs as many cores, and the cluster has {cores}"
        raise FaceSegKitError(f"{problem}; start more machines, or use fewer workers.")
    if free < 1:
        problem = f"All {cores} cores of the cluster are taken"
        raise FaceSegKitError(f"{problem}; wait for other jobs, or start more machines.")
    most = workers or cores
    return ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=min(most, free))
