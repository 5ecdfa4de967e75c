"""Trainings that share a model, data sets of a few pairs, and numbers that are what is said."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from filelock import FileLock

from facesegkit.checkpoint import load
from facesegkit.cli import main, train
from facesegkit.errors import FaceSegKitError
from facesegkit.synthetic import synthesize_dataset
from facesegkit.system import processes
from facesegkit.train import HISTORY_COLUMNS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Five synthetic faces."""
    folder = tmp_path_factory.mktemp("few") / "faces"
    synthesize_dataset(folder, 5, seed=0, workers=1, progress=False)
    return folder


@pytest.fixture
def instant(monkeypatch):
    """Trainings that end at once, with the model that they began with."""
    history = [dict.fromkeys(HISTORY_COLUMNS, 1)]
    monkeypatch.setattr(train, "fit", lambda model, *_: (model, history))
    monkeypatch.setattr(train, "is_complete", lambda *_: True)


def command(*arguments):
    return main.main([str(argument) for argument in arguments])


def test_five_pairs_are_trained_on_with_a_warning(few, folder, capsys):
    assert command("train", "--data", few, "--epochs", "1", "--split", "test") == 0
    printed = capsys.readouterr()
    assert "3 train, 1 val, 1 test (split: rank of the id's hash" in printed.out
    warning = "the model is trained on 3 photos and validated on 1 photo: so few that its metrics"
    assert warning in printed.err
    assert load("face_segmentation_model.pth").about["scores"]
    assert not list(folder.glob(".*")), "the lock is left behind"


def test_the_model_is_saved_before_it_is_evaluated(few, folder, instant, monkeypatch):
    evaluating = Mock(side_effect=FaceSegKitError("It cannot be evaluated."))
    monkeypatch.setattr(train, "_evaluate_split", evaluating)
    assert command("train", "--data", few, "--epochs", "1") == 1
    assert "scores" not in load("face_segmentation_model.pth").about


def test_a_split_to_evaluate_on_that_is_empty_is_told_before_training(folder, monkeypatch, capsys):
    synthesize_dataset(folder / "two", 2, seed=0, workers=1, progress=False)
    monkeypatch.setattr(train, "fit", Mock(side_effect=AssertionError))
    assert command("train", "--data", "two", "--epochs", "1", "--split", "test") == 1
    assert "split of" in (printed := capsys.readouterr().err) and "is empty" in printed


def test_of_several_data_sets_one_may_lack_a_split(few, folder, instant):
    synthesize_dataset(folder / "two", 2, seed=0, workers=1, progress=False)
    assert command("train", "--data", "two", few, "--epochs", "1") == 0


def test_a_second_training_of_one_model_is_refused(few, folder, monkeypatch, capsys):
    monkeypatch.setattr(train, "fit", Mock(side_effect=AssertionError))
    with FileLock(".face_segmentation_model.pth.lock"):
        assert command("train", "--data", few, "--epochs", "1") == 1
    expected = "Another training is writing face_segmentation_model.pth; wait for its end, or give"
    assert expected in capsys.readouterr().err


def test_as_many_synthetic_faces_are_used_as_is_said(folder, instant, capsys):
    assert command("synthesize", "data/synthetic", "--count", "9", "--workers", "1") == 0
    assert command("synthesize", "data/synthetic", "--count", "2") == 0
    expected = f"9 synthetic faces in {Path('data/synthetic')}, 2 of which were asked for"
    assert expected in capsys.readouterr().out
    given = ["--num-synthetic", "6", "--epochs", "1", "--split", "all"]
    assert command("train", *given) == 0
    printed = capsys.readouterr().out
    assert "using 6 synthetic faces" in printed and "6 pairs of synthetic" in printed
    about = load("face_segmentation_model.pth").about
    assert sum(map(sum, about["scores"]["matrix"])) == 6 * 512 * 512
    assert command("evaluate", "--data", "data/synthetic", "--num-synthetic", "6") == 1
    assert "leave one out" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1e308", "1e7"])
@pytest.mark.parametrize("option", ["--epochs", "--minutes"])
def test_a_budget_without_end_is_refused_before_any_work(option, value, few, folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        command("train", "--data", few, option, value)
    assert stopped.value.code == 2 and option in capsys.readouterr().err


def test_no_more_workers_are_started_than_the_cores_can_use(monkeypatch, capsys):
    monkeypatch.setattr(processes, "cores", lambda: 2)
    assert processes.useful_workers(1000) == 4
    assert "1000 workers are more than 2 cores can use: 4 are used." in capsys.readouterr().err
    assert processes.useful_workers(4) == 4
    started = Mock(wraps=processes._Worker)
    monkeypatch.setattr(processes, "_Worker", started)
    done = processes.process_map(abs, [*range(9)], 40, doing="counted")
    assert sorted(result for _, result in done) == [*range(9)]
    assert started.call_count == 4
