"""Data sets of pseudo-labels, on portraits that synthetic faces stand in for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesegkit.checkpoint import load
from facesegkit.cli.main import main
from facesegkit.data.cache import build_cache
from facesegkit.data.celebamask_hq import Archive
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import warp_crop
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.pipeline import ScaledImage
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, IGNORED, PARTS, paint_parts
from facesegkit.pseudo_label.dataset import (
    NO_FACE,
    NOT_CONFIDENT,
    RECORD,
    SETTINGS,
    part_masks,
    pseudo_label,
)
from facesegkit.pseudo_label.ensemble import Teacher, View
from facesegkit.synthetic.face import synthesize_face


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Three synthetic faces, not aligned, and their label maps; a photo without a face."""
    folder, label_maps = tmp_path_factory.mktemp("photos"), []
    for index in range(3):
        face = synthesize_face(5, index)
        framed = Image.new("RGB", (700, 640), (90, 110, 120))
        framed.paste(Image.fromarray(face.photo), (100, 60))
        framed.save(folder / f"{index}.png")
        label_maps.append(paint_parts(face.masks, face.photo.shape[:2]))
    Image.new("RGB", (300, 200), (90, 110, 120)).save(folder / "3.png")
    return folder, label_maps


@pytest.fixture(scope="module")
def labeller():
    checkpoint = load(weights_path("unet-synthetic", ".pth"))
    return Teacher([checkpoint], [View(), View(mirrored=True)]), FaceSegmenter(checkpoint).analyzer


def left_out(labelled):
    """Why each photo, which shows at most one face, is left out; empty if it is not."""
    return [line.left_out for _, (line,) in labelled]


def test_faces_are_labelled_like_the_ground_truth(faces, labeller, tmp_path):
    folder, label_maps = faces
    labelled = pseudo_label(sorted(folder.iterdir()), *labeller, tmp_path / "set")
    assert left_out(labelled) == ["", "", "", NO_FACE]
    archive, (_, analyzer) = Archive(tmp_path / "set"), labeller
    for photo_id, label_map in enumerate(label_maps):
        framed = read_photo(folder / f"{photo_id}.png")
        roi = analyzer.candidates(ScaledImage(framed, framed.size))[0].roi
        truth = Image.new("RGB", framed.size)
        truth.paste(
            Image.fromarray(FIVE_FEATURES.colour(FIVE_FEATURES.merge(label_map))), (100, 60)
        )
        expected = np.asarray(warp_crop(truth, roi, 512)).max(axis=2) > 127
        photo, labels = archive.read_pair(photo_id)
        found, known = FIVE_FEATURES.merge(labels) > 0, labels != IGNORED
        assert photo.size == (512, 512) and 0 < (~known).mean() < 0.1
        assert (found & expected & known).sum() / ((found | expected) & known).sum() > 0.75
        assert {"l_eye", "r_eye", "u_lip", "l_lip"} <= {PARTS[i] for i in np.unique(labels[known])}


def test_a_run_goes_on_where_it_was_and_takes_more_photos(faces, labeller, tmp_path):
    folder, _ = faces
    photos = sorted(folder.iterdir())
    first = list(pseudo_label(photos[:2], *labeller, tmp_path / "set"))
    with (tmp_path / "set" / RECORD).open("a") as file:
        file.write("a line that was cut off")
    again = pseudo_label(photos, *labeller, tmp_path / "set")
    assert left_out(again) == ["", "", "", NO_FACE]
    assert len(first) == 2 and list(Archive(tmp_path / "set").pairs) == [0, 1, 2]
    record = (tmp_path / "set" / RECORD).read_text().splitlines()
    assert len(record) == 5 and record[0] == "source,photo_id,confidence,left_out"
    assert (
        build_cache(tmp_path / "set", tmp_path / "cache", workers=1).summary().startswith("3 pairs")
    )


def test_only_confident_faces_are_kept(faces, labeller, tmp_path):
    photos = sorted(faces[0].iterdir())[:1]
    assert left_out(pseudo_label(photos, *labeller, tmp_path / "set", 0.999)) == [NOT_CONFIDENT]
    assert not (tmp_path / "set").exists()


def test_a_data_set_has_the_masks_of_one_teacher_and_threshold(faces, labeller, tmp_path):
    photos, out = sorted(faces[0].iterdir())[:1], tmp_path / "set"
    list(pseudo_label(photos, *labeller, out, 0.6))
    saved = json.loads((out / SETTINGS).read_text())
    assert saved["models"][0] | {"sha256": ""} == {"name": "unet", "sha256": "", "licence": "MIT"}
    with pytest.raises(FaceSegKitError, match=r"set was labelled by unet with --min-.* 0\.6; give"):
        list(pseudo_label(photos, *labeller, out, 0.7))
    changed = Teacher([load(weights_path("unet-open", ".pth"))])
    with pytest.raises(FaceSegKitError, match="by unet, which has changed since, with"):
        list(pseudo_label(photos, changed, labeller[1], out, 0.6))


def test_a_photo_is_labelled_once_whatever_its_path(faces, labeller, tmp_path, monkeypatch):
    monkeypatch.chdir(faces[0])
    photos = [faces[0] / "0.png", Path("0.png")]
    assert left_out(pseudo_label(photos, *labeller, tmp_path / "set")) == ["", ""]
    assert list(Archive(tmp_path / "set").pairs) == [0]


def test_the_command_says_what_is_left_out(faces, tmp_path, capsys):
    with Image.open(faces[0] / "0.png") as photo:
        photo.resize((98, 90)).save(tmp_path / "small.png")  # its face is 40 pixels wide
    out, photos = tmp_path / "new" / "set", [str(faces[0] / "3.png"), str(tmp_path / "small.png")]
    model = ["--model", "unet-synthetic", "--output", str(out)]
    assert main(["pseudo-label", *photos, *model]) == 1
    reasons = "1 photo without a face, 1 face less than 50 pixels wide"
    assert f"There is no face for {out}: {reasons}; give other photos" in capsys.readouterr().err
    assert not out.parent.exists()
    assert main(["pseudo-label", *photos, str(faces[0] / "0.png"), *model]) == 0
    printed = f"1 face of 3 photos in {out}; left out: {reasons}\n"
    assert capsys.readouterr().out == printed
    assert main(["pseudo-label", *photos, str(faces[0] / "0.png"), *model]) == 0
    assert capsys.readouterr().out == printed


def test_other_folders_are_left_alone(faces, labeller, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        FaceSegKitError, match="contains 'notes.txt'; choose an empty or new folder"
    ):
        list(pseudo_label([], *labeller, tmp_path))


def test_a_damaged_photo_does_not_end_the_command(faces, tmp_path, capsys):
    folder, _ = faces
    (broken := tmp_path / "broken.jpg").write_bytes(b"no photo")
    given = [str(folder / "0.png"), str(broken), "--output", str(tmp_path / "set")]
    assert main(["pseudo-label", *given]) == 3  # some succeeded
    said = capsys.readouterr()
    assert "1 face of 2 photos" in said.out and "1 of 2 photos could not be read" in said.err
    assert main(["pseudo-label", "x.jpg", "--min-confidence", "2", "--output", "y"]) == 1
    assert "is not a probability" in capsys.readouterr().err


def test_classes_of_two_sides_are_divided():
    classes = np.zeros((10, 10), dtype=np.uint8)
    classes[2, 1:3] = classes[2, 7:9] = 1  # eyes
    classes[6:9, 3:7], classes[7, 4:6] = 5, 4  # lips around a mouth
    masks = part_masks(classes, FIVE_FEATURES)
    assert set(masks) == {"l_eye", "r_eye", "mouth", "u_lip", "l_lip"}
    assert masks["l_eye"][2, 7:9].all() and masks["r_eye"][2, 1:3].all()
    assert masks["u_lip"][6, 3:7].all() and masks["l_lip"][8, 3:7].all()
    parts = np.arange(19, dtype=np.uint8)[None].repeat(2, axis=0)
    assert {name: int(mask.sum()) for name, mask in part_masks(parts, ALL_PARTS).items()} == {
        name: 2 for name in ALL_PARTS.classes
    }
