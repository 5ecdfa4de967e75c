"""Training states: what is saved of a run, when a run continues from it, and whether it fits."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.system import distributed
from facesegkit.system.tensor_files import MAX_TRAINING_STATE, load_tensors

_Progress = Callable[[int, float], float]
_KIND = "training state"
_MODULES = ("model", "averaged", "optimizer")  # attributes of a `train.TrainState`
_VALUES = ("step", "seconds", "history", "losses", "best_weights")


def state_to_resume(path: Path | None, resume: bool, progress: _Progress) -> dict[str, Any] | None:
    """Load the saved state, in all processes, if the run is to be resumed; None for a fresh start.

    A run is resumed if the user asked to `resume`, and if torchrun restarts it after a failure.
    torchrun's first start removes the state of earlier runs: the run might be killed before it
    saves its own. `progress` is the fraction of the run that is done after so many steps and
    seconds; `path` is None if the run saves no state.
    """
    return distributed.broadcast(_load(path, resume, progress) if distributed.is_first() else None)


def _load(path: Path | None, resume: bool, progress: _Progress) -> dict[str, Any] | None:
    if path is None or not path.exists():
        return None
    if resume:
        return load_tensors(path, MAX_TRAINING_STATE)
    if distributed.run_id() is None:
        return None
    if not distributed.may_be_a_restart():
        path.unlink()
        return None
    with suppress(FaceSegKitError, KeyError, TypeError):  # the user did not ask for this file
        saved = load_tensors(path, MAX_TRAINING_STATE)
        is_over = progress(saved["step"], saved["seconds"]) >= 1
        if saved["run_id"] == distributed.run_id() and not is_over:
            return saved
    return None


def state_dict(state: Any) -> dict[str, Any]:
    """All that `restore` needs of a `train.TrainState`, as tensors and plain data."""
    modules = {name: getattr(state, name).state_dict() for name in _MODULES}
    values = {name: getattr(state, name) for name in _VALUES}
    about = {"kind": _KIND, "given": _given(state), "run_id": distributed.run_id()}
    return {**about, **modules, **values}


def restore(state: Any, saved: Mapping[str, Any]) -> None:
    """Set a `train.TrainState` to what `state_dict` returned.

    `bf16` may differ and is taken over: whether bfloat16 is faster is measured at each start.
    Raises a FaceSegKitError if the recipe or metadata differ, the file is from another version, or
    it is not a training state.
    """
    before = saved.get("given")
    again = "start again without --resume."
    if saved.get("kind") != _KIND or not isinstance(before, dict):
        raise FaceSegKitError(f"The file to resume from is not a training state; {again}")
    state.config = replace(state.config, bf16=bool(before.get("bf16")))
    for name, value in _given(state).items():
        if value != before.get(name):
            started = f"was started with {name} = {before.get(name)}, not {value}"
            raise FaceSegKitError(f"The run to resume {started}; give the same value, or {again}")
    try:
        for name in _MODULES:
            getattr(state, name).load_state_dict(saved[name])
        for name in _VALUES:
            setattr(state, name, saved[name])
    except Exception as error:  # any entry may be of any type
        reason = "The run to resume was saved by another version, or its file is damaged"
        raise FaceSegKitError(f"{reason} ({first_line(error)}); {again}") from error


def _given(state: Any) -> dict[str, Any]:
    """Recipe and metadata: what a resumed run must have in common with the saved one."""
    return {**state.config.recipe(), **state.run.metadata}
