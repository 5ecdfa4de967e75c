"""Two processes started by torchrun do what one does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
from torch import nn

from facesegkit.checkpoint import load
from facesegkit.cli.main import main
from facesegkit.config import TrainConfig
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.dataset import batch_indices
from facesegkit.losses import segmentation_loss
from facesegkit.synthetic import synthesize_dataset

SCRIPT = Path(__file__).parents[1] / "one_of_several.py"

GLOO = torch.distributed.is_available() and torch.distributed.is_gloo_available()
pytestmark = pytest.mark.skipif(not GLOO, reason="this PyTorch was built without gloo")


def torchrun(*arguments: object, cwd: Path, restarts: int = 0, status: int = 0, **env: str) -> Any:
    """Run two processes to their end, and check whether they fail (status 1) or not (0)."""
    options = "-m torch.distributed.run --standalone --nproc-per-node 2 --local-addr 127.0.0.1"
    command = [sys.executable, *options.split(), "--max-restarts", str(restarts), str(SCRIPT)]
    finished = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=240,
        cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )  # fmt: skip
    assert bool(finished.returncode) == status, finished.stderr
    return finished


@pytest.fixture(scope="module")
def trained(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two processes have built the cache and trained."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(synthetic, folder).stdout.count("saved ") == 1
    return folder


def train(synthetic: Path, folder: Path, **env: str) -> Any:
    arguments = ["--data", synthetic, "--cache", folder / "cache", "--epochs", "2"]
    return torchrun("train", *arguments, cwd=folder, restarts=1, **env)


def test_the_loss_and_its_gradient_are_those_of_the_whole_batch(tmp_path):
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 1)
    case = {
        "photos": torch.rand(3, 3, 8, 8),
        "target": torch.randint(4, (3, 8, 8)),
        "teacher_probs": torch.rand(3, 4, 8, 8).softmax(1),
    }
    logits = model(case["photos"])
    loss = segmentation_loss(logits, case["target"], TrainConfig(), case["teacher_probs"])
    loss.backward()
    file = tmp_path / "case.pth"
    torch.save({"weights": model.state_dict(), **case}, file)
    torchrun("loss", file, cwd=tmp_path)
    shared = torch.load(file, weights_only=True)
    torch.testing.assert_close(shared["loss"], loss.detach())
    torch.testing.assert_close(shared["gradient"], model.weight.grad)


def test_two_processes_build_the_same_cache_as_one(synthetic, trained, tmp_path):
    alone = build_cache(synthetic, tmp_path / "alone", progress=False)
    shared = DatasetCache.open(trained / "cache")
    assert shared.splits.tolist() == alone.splits.tolist() and shared.bad == alone.bad
    np.testing.assert_array_equal(shared.photos, alone.photos)
    np.testing.assert_array_equal(shared.labels, alone.labels)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Six faces with bad ones of an even and an odd index, so each process has one."""
    folder = tmp_path / "broken"
    synthesize_dataset(folder, 6, seed=1, progress=False)
    for photo_id in (1, 2):
        (folder / "CelebA-HQ-img" / f"{photo_id}.jpg").write_bytes(b"no photo")
    return folder


def test_bad_pairs_of_any_process_are_reported(broken, tmp_path):
    torchrun("prepare", broken, "--cache", tmp_path / "cache", cwd=tmp_path)
    assert set(DatasetCache.open(tmp_path / "cache").bad) == {1, 2}


def test_each_batch_is_divided_between_both(trained):
    model = load(trained / "face_segmentation_model.pth")
    last = model.about["history"][-1]
    assert last["step"] == 4 and last["photos"] == 64  # of 32 faces, 16 a batch, twice
    files = [trained / "seen-0", trained / "seen-1"]
    seen = [[[*map(int, line.split())] for line in file.open()] for file in files]
    for step in range(4):
        first, second = (batches[2 * step] for batches in seen)  # every other one for validation
        assert len(first) == len(second) == 8
        assert {*first, *second} == {*batch_indices(step, 32, 16, model.about["config"]["seed"])}


def test_two_processes_evaluate_like_one(synthetic, tmp_path):
    arguments = ["evaluate", "--data", synthetic, "--cache", tmp_path / "cache", "--split", "all",
                 "--model", "separable", "--report"]  # fmt: skip
    finished = torchrun(*arguments, tmp_path / "two", cwd=tmp_path)
    assert finished.stdout.count("(40 photos of all") == 1
    assert main([*map(str, arguments), str(tmp_path / "one")]) == 0
    one, two = (json.loads((tmp_path / n / "scores.json").read_text()) for n in ("one", "two"))
    # The batches differ, which changes the last digit of the logits.
    assert two["mean_f1"] == pytest.approx(one["mean_f1"], abs=1e-5)
    assert np.sum(two["matrix"]) == np.sum(one["matrix"])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on this system")
def test_a_killed_run_is_restarted_and_ends_the_same(synthetic, trained, tmp_path):
    stale = "face_segmentation_model.training.pth"  # of another run, without --resume
    shutil.copy(trained / stale, tmp_path / stale)
    train(synthetic, tmp_path, DIE_AT_STEP="3")
    assert (tmp_path / "died").exists()
    killed, undisturbed = (
        load(folder / "face_segmentation_model.pth").model.state_dict()
        for folder in (tmp_path, trained)
    )
    torch.testing.assert_close(killed, undisturbed, rtol=0, atol=0)


def test_an_error_of_all_processes_is_printed_once(tmp_path):
    missing = tmp_path / "missing"
    errors = torchrun("prepare", missing, cwd=tmp_path, status=1, PATIENCE="120").stderr
    before, *after = errors.split("facesegkit: There is no")
    assert len(after) == 1 and 'File "' not in before  # no traceback


def test_an_error_of_one_process_is_printed(broken, tmp_path):
    shutil.copy(*((broken / "CelebA-HQ-img" / name) for name in ("0.jpg", "2.jpg")))
    arguments = ["prepare", broken, "--strict", "--cache", "cache"]
    errors = torchrun(*arguments, cwd=tmp_path, status=1).stderr
    assert errors.count("facesegkit: CelebA-HQ-img/1.jpg cannot be read") == 1
