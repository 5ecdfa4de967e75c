"""The detector's training images, and where their photos come from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facesegkit.data.cache import build_cache
from facesegkit.detection.canvases import CanvasMaker, LabelledPhoto
from facesegkit.detection.sources import backgrounds, people, points_of_parts, real_photos, shuffled
from facesegkit.detection.train import RECIPE
from facesegkit.synthetic import synthesize_dataset

BOX = np.array([[40, 30, 88, 98]], np.float32)
POINTS = np.array([[[52, 50], [76, 50], [64, 65], [54, 80], [74, 80]]], np.float32)


def marked_photo():
    """A grey photo whose face is a red square at each eye and a green one at the mouth."""
    pixels = np.full((128, 128, 3), 128, np.uint8)
    pixels[46:54, 48:56] = pixels[46:54, 72:80] = (230, 20, 20)
    pixels[76:84, 50:78] = (20, 230, 20)
    return LabelledPhoto(Image.fromarray(pixels), BOX, POINTS)


@pytest.fixture(scope="module")
def maker():
    empty = [LabelledPhoto(Image.new("RGB", (200, 100), colour)) for colour in ("grey", "navy")]
    return CanvasMaker([marked_photo(), *empty])


@pytest.fixture(scope="module")
def synthetic_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    synthesize_dataset(folder, 4, seed=5)
    return build_cache(folder)


def test_points_and_boxes_follow_the_face(maker):
    """Of the colours at eyes and mouth, most are still red and green after all changes."""
    redder, faces = [], 0
    for seed in range(30):
        canvas = maker(np.random.default_rng(seed))
        pixels = np.asarray(canvas.image).astype(float)
        assert pixels.shape == (320, 320, 3)
        assert len(canvas.boxes) == len(canvas.points)
        faces += len(canvas.boxes)
        for box, points in zip(canvas.boxes, canvas.points, strict=True):
            assert 0 <= box.min() and box.max() <= 320
            left, right, _, corner, other = points
            across, down = right - left, (corner + other) / 2 - left
            assert across[0] * down[1] > across[1] * down[0]  # mirrored photos have new names
            spots = np.rint([left, right, (corner + other) / 2]).astype(int)
            if 0 <= spots.min() and spots.max() < 320 and np.ptp(box[::2]) > 30:
                red = pixels[spots[:, 1], spots[:, 0], 0] - pixels[spots[:, 1], spots[:, 0], 1]
                redder.append(red[:2].mean() - red[2])
    assert faces > 20 and len(redder) > 15
    assert np.mean(np.array(redder) > 20) > 0.6  # the others are grey, dark or covered


def test_canvases_can_be_repeated_and_differ(maker):
    one, same, other = (maker(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.image.tobytes() == same.image.tobytes() != other.image.tobytes()
    np.testing.assert_array_equal(one.points, same.points)


def test_a_batch_is_padded_and_the_same_whether_made_ahead_or_not(maker):
    config = replace(RECIPE, batch_size=6)
    first, ahead = (maker.training_batch(step, 0, config, None) for step in (4, 5))
    again = maker.training_batch(5, 0, config, None)
    assert first.images.shape == (6, 3, 320, 320) and 0 <= first.images.min()
    assert ahead.target.boxes.shape[0] == 6 and ahead.target.points.shape[2:] == (5, 2)
    assert (ahead.images == again.images).all() and (first.images != again.images).any()


def test_a_face_that_is_mostly_cut_off_is_ignored():
    photo = marked_photo()
    assert len(photo.cut(0, 0, 80, 128).boxes) == 1
    cut = photo.cut(0, 0, 55, 128)
    assert len(cut.boxes) == len(cut.points) == 0
    np.testing.assert_array_equal(cut.ignore, [[40, 30, 55, 98]])
    assert len(photo.cut(0, 0, 20, 128).ignore) == 0


def test_a_mirrored_face_has_its_points_in_the_photos_order():
    mirror = np.array([[-1.0, 0, 128], [0, 1, 0]])
    mirrored = marked_photo().warped(mirror, 128, (0, 0, 0))
    np.testing.assert_allclose(mirrored.points[0, 0], [128 - 76, 50])
    np.testing.assert_allclose(mirrored.points[0, 3], [128 - 74, 80])
    np.testing.assert_allclose(mirrored.boxes, [[40, 30, 88, 98]], atol=1e-3)


def test_real_photos_come_from_the_split(tmp_path):
    (tmp_path / "photos").mkdir()
    face = {"box": [2, 3, 20, 30], "points": [[5, 9], [15, 9], [10, 15], [6, 22], [14, 22]]}
    listed = {
        "a.jpg": {"split": "train", "faces": [face], "ignore": []},
        "b.jpg": {"split": "val", "faces": [], "ignore": []},
        "c.jpg": {"split": "train", "faces": [], "ignore": [[1, 1, 5, 5]]},
    }
    for name in listed:
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / name)
    (tmp_path / "faces.json").write_text(json.dumps(listed))
    one, two = real_photos(tmp_path)
    np.testing.assert_array_equal(one.points[0], face["points"])
    assert one.boxes.tolist() == [face["box"]] and one.ignore.shape == (0, 4)
    assert two.boxes.shape == (0, 4) and two.ignore.tolist() == [[1, 1, 5, 5]]


def test_people_have_points_and_box_from_their_masks(synthetic_cache):
    for photo in people(synthetic_cache, range(4)):
        side = photo.image.width
        assert np.isfinite(photo.points).all()
        (left, top, right, bottom), (points,) = photo.boxes[0], photo.points
        assert (points > [left, top]).all() and (points < [right, bottom]).all()
        eye, other_eye, nose, corner, other_corner = points
        assert eye[0] < nose[0] < other_eye[0] and corner[0] < other_corner[0]
        assert eye[1] < nose[1] < corner[1]
        assert 0.3 * side < right - left < side
        assert np.asarray(photo.matte)[int(nose[1]), int(nose[0])] > 250


def test_parts_without_eyes_have_no_points():
    assert points_of_parts(np.zeros((64, 64), np.uint8)) is None


def test_backgrounds_and_shuffled_faces_have_no_face():
    photos = [*backgrounds(2), shuffled(marked_photo(), np.random.default_rng(0))]
    assert all(len(photo.boxes) == 0 for photo in photos)
    assert photos[0].image.tobytes() != photos[1].image.tobytes()
    changed = np.asarray(photos[2].image) != np.asarray(marked_photo().image)
    rows, columns = np.nonzero(changed.any(-1))
    assert rows.min() >= 30 and rows.max() < 98 and columns.min() >= 40 and columns.max() < 88
