"""The reader's own parser: its steps are evaluated on the same faces, kept and plotted."""

import json

import numpy as np
import pytest
import torch

from facesegkit.checkpoint import Checkpoint, build_model
from facesegkit.course import my_parser
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import FIVE_FEATURES, LabelScheme
from facesegkit.metrics import evaluate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project's folder; the first test to need its three test faces makes them."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    (folder / "data" / "README.md").touch()
    return folder


@pytest.fixture(autouse=True)
def scores_file(folder, monkeypatch):
    """Where the scores will be; there are none yet."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(my_parser, "_FACES", 3)
    file = folder / "data" / "my_parser.json"
    file.unlink(missing_ok=True)
    return file


def all_nose(images):
    """Logits of a parser that calls everything a nose."""
    logits = torch.zeros(len(images), 6, *images.shape[2:])
    logits[:, 3] = 1
    return logits


def test_steps_are_kept_in_the_order_of_the_lessons(scores_file, capsys):
    my_parser.record("longer", all_nose)
    score = round(evaluate(all_nose, my_parser.unseen_faces()).metrics.mean_f1, 4)
    assert "my_parser, longer: mean F1 0.0" in capsys.readouterr().out
    my_parser.record("mine", all_nose)
    my_parser.record("baseline", lambda images: 0 * all_nose(images))  # all background
    assert [*my_parser.scores()] == ["baseline", "longer", "mine"]
    assert my_parser.scores() == {"baseline": 0, "longer": score, "mine": score}
    my_parser.record("longer", lambda images: 0 * all_nose(images))  # the lesson is run again
    assert my_parser.scores()["longer"] == 0
    assert json.loads(scores_file.read_text())["mine"] > 0


def test_the_faces_are_always_the_same_and_a_function_sees_them_in_its_size():
    faces = my_parser.unseen_faces(32)
    assert faces.photos.shape == (3, 32, 32, 3) and faces.labels.shape == (3, 512, 512)
    assert np.array_equal(my_parser.unseen_faces(32).photos, faces.photos)
    sides = []
    my_parser.record("fit", lambda images: sides.append(images.shape[2]) or all_nose(images), 32)
    assert sides == [32]


def test_a_checkpoint_counts_like_its_network_at_its_own_size(scores_file):
    torch.manual_seed(0)
    model = build_model("separable", classes=6, widths=[8, 8, 8, 8]).eval()
    with torch.no_grad():
        model.head.bias.zero_()  # otherwise everything is background
    expected = evaluate(model, my_parser.unseen_faces(48)).metrics.mean_f1
    checkpoint = Checkpoint("separable", model, FIVE_FEATURES, 48)
    my_parser.record("exported", checkpoint)
    my_parser.record("fit", model, 48)
    assert set(my_parser.scores().values()) == {round(expected, 4)}
    ears = LabelScheme("ears", {"ears": ("l_ear", "r_ear")}, [(1, 2, 3)])
    other = Checkpoint("separable", build_model("separable", classes=2), ears)
    with pytest.raises(ValueError, match="has 2 classes, but the scheme 'five features' has 6"):
        my_parser.record("ears", other)
    assert "ears" not in my_parser.scores()


def test_damaged_scores_are_named(scores_file):
    scores_file.write_text("[1]")
    with pytest.raises(FaceSegKitError, match=r"my_parser\.json is damaged; delete it"):
        my_parser.record("fit", all_nose)


def test_the_plot_has_a_labelled_point_for_each_step():
    for step in ("first loop", "loss"):
        my_parser.record(step, all_nose)
    (axes,) = my_parser.plot_progress().axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["first loop", "loss"]
    assert len(axes.texts) == 2 and axes.get_ylabel() == "mean F1 on 3 test faces"


def test_the_plot_of_nothing_is_empty():
    assert my_parser.plot_progress().axes[0].get_title() == "my_parser"
