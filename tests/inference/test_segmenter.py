"""From a photo to its segmentation."""

import math

import numpy as np
import pytest
from fake_models import GREY, NOSES, detector_of, model_by_colour, photo_with, upright
from PIL import Image

import facesegkit
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, FaceROI
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import render, save_view
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, PART_IDS, PARTS, paint_parts
from facesegkit.synthetic import synthesize_face


@pytest.fixture(scope="module")
def segmenter():
    return FaceSegmenter(model_by_colour(), aligned=True)


def iou(mask, *boxes):
    """Intersection over union of a mask and boxes (left, top, right, bottom)."""
    target = np.zeros_like(mask)
    for left, top, right, bottom in boxes:
        target[top:bottom, left:right] = True
    return (mask & target).sum() / (mask | target).sum()


@pytest.mark.parametrize("size", [(256, 256), (640, 480), (301, 799), (100, 40), (1200, 301)])
def test_masks_are_where_the_photo_has_them(segmenter, size):
    width, height = size
    boxes = {
        "eyes": (width // 10, height // 10, width // 2, height // 2),
        "lips": (width // 2, height // 2, width, height),
    }
    result = segmenter(photo_with(boxes, width, height))
    assert result.labels.shape == (height, width) and result.labels.dtype == np.uint8
    for name, box in boxes.items():
        assert iou(result.mask(name), box) > 0.9, name
    assert not result.mask("nose").any()
    assert result.mask("lips").mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 200), (3000, 17), (255, 257)])
def test_odd_sizes(segmenter, width, height):
    result = segmenter(Image.new("RGB", (width, height), (255, 0, 0)))
    assert result.labels.shape == (height, width)
    assert result.mask("eyes").all()


def test_exif_orientation_rotates_photo_and_masks(segmenter, tmp_path):
    upright = photo_with({"nose": (20, 30, 90, 160)}, 120, 240)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    result = segmenter(tmp_path / "photo.png")
    assert result.photo.size == (120, 240)
    assert iou(result.mask("nose"), (20, 30, 90, 160)) > 0.9


def test_confidence_is_the_highest_probability_after_softmax():
    for planes, expected in (([0, 0], 0.5), ([0, np.log(3)], 0.75), ([1e4, 0], 1.0)):
        logits = np.broadcast_to(np.float32(planes)[None, :, None, None], (1, 2, 16, 16))
        model = Model(lambda images, logits=logits: logits, NOSES, input_size=16)
        result = FaceSegmenter(model, aligned=True)(Image.new("RGB", (20, 10)))
        confidence = result.confidence()
        assert confidence.shape == (10, 20) and confidence.dtype == np.float32
        np.testing.assert_allclose(confidence, expected, rtol=1e-6)
        assert result.confidence((3, 7)).shape == (3, 7)


def test_paths_images_and_arrays_give_the_same_result(segmenter, tmp_path):
    photo = photo_with({"mouth": (5, 5, 40, 30)}, 60, 50)
    photo.save(tmp_path / "photo.png")
    expected = segmenter(photo).labels
    for given in (tmp_path / "photo.png", str(tmp_path / "photo.png"), np.asarray(photo)):
        np.testing.assert_array_equal(segmenter(given).labels, expected)
    assert segmenter(photo.convert("RGBA")).photo.mode == "RGB"


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
                                   np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))])  # fmt: skip
def test_arrays_of_another_shape_or_dtype(segmenter, array):
    with pytest.raises(ValueError, match="expected uint8"):
        segmenter(array)


def test_a_large_jpeg_is_decoded_in_full_only_for_its_photo(segmenter, tmp_path, monkeypatch):
    photo = photo_with({"eyes": (200, 100, 900, 500), "lips": (600, 700, 1500, 1100)}, 1600, 1200)
    photo.save(tmp_path / "photo.jpg", quality=95)
    with monkeypatch.context() as patched:
        module = "facesegkit.inference.results"
        patched.setattr(f"{module}.read_photo", lambda path: pytest.fail("decoded"))
        result = segmenter(tmp_path / "photo.jpg")
        save_view(result, "labels", tmp_path / "labels.png")
        save_view(result, "panel", tmp_path / "panel.png")
    assert result.labels.shape == (1200, 1600)
    assert (result.labels == segmenter(photo).labels).mean() > 0.99
    assert result.photo.size == (1600, 1200)


@pytest.mark.parametrize("view", ["overlay", "panel"])
def test_a_photo_that_has_changed_since_is_reported(segmenter, tmp_path, view):
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    result = segmenter(tmp_path / "photo.png")
    Image.new("RGB", (50, 30)).save(tmp_path / "photo.png")
    with pytest.raises(FaceSegKitError, match="photo.png has changed since"):
        render(result, view)


def test_each_face_is_segmented_by_itself_and_nothing_between(tmp_path):
    left, right = (200, 180, 240, 230), (1000, 600, 1070, 680)
    photo = Image.new("RGB", (1600, 1200), GREY)
    for box in (left, right, (700, 100, 760, 160)):  # the last one belongs to no face
        photo.paste(NOSES.colours[0], box)
    photo.save(tmp_path / "photo.png")
    detector = detector_of(upright(220, 205, 190), upright(1035, 640, 320))
    for source in (photo, tmp_path / "photo.png"):
        result = FaceSegmenter(model_by_colour(NOSES), detector=detector)(source)
        assert not result.mask("nose")[100:160, 700:760].any()
        assert iou(result.mask("nose"), left, right) > 0.9
        centres = sorted((face.roi.x, face.roi.y) for face in result.faces)
        assert np.allclose(centres, [(220, 205), (1035, 640)], atol=4)


@pytest.mark.parametrize(
    ("roi", "of_face", "of_photo"),
    [(FaceROI(500, 400, 200, 0), (420, 332.5, 580, 492.5), (400, 300, 600, 500)),
     (FaceROI(500, 400, 200, math.pi / 2), (407.5, 320, 567.5, 480), (400, 300, 600, 500)),
     (FaceROI(80, 700, 400, 0), (0, 565, 240, 800), (0, 500, 280, 800))],
    ids=["upright", "a quarter turn clockwise", "at the corner of the photo"],
)  # fmt: skip
def test_a_model_of_whole_photos_sees_more_around_the_same_face(roi, of_face, of_photo):
    """As much as an aligned photo shows, where the others see 0.8 of its side."""
    photo, faces = Image.new("RGB", (1000, 800), GREY), []
    for crop, box in ((FACE_CROP, of_face), (FULL_IMAGE, of_photo)):
        everything = np.zeros((1, 2, 64, 64), np.float32)
        everything[:, 1] = 1
        model = Model(lambda images, found=everything: found, NOSES, input_size=64, crop=crop)
        (face,) = FaceSegmenter(model, detector=detector_of(roi))(photo).faces
        assert face.bbox == pytest.approx(box, abs=1)
        assert face.areas["nose"] == pytest.approx(np.subtract(box[2:], box[:2]).prod(), rel=0.02)
        faces.append(face.roi)
    assert faces[0] == faces[1]


def test_the_labels_of_all_parts_are_part_ids(tmp_path):
    """At their places in a photo with a face, and in the file."""
    boxes = {
        name: (left, top, left + 24, top + 24)
        for number, name in enumerate(ALL_PARTS.classes)
        for left, top in [(120 + number % 5 * 36, 110 + number // 5 * 40)]
    }
    segmenter = FaceSegmenter(
        model_by_colour(ALL_PARTS, tolerance=0.15), detector=detector_of(upright(200, 180, 200))
    )
    result = segmenter(photo_with(boxes, 400, 300, ALL_PARTS))
    save_view(result, "labels", tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as saved:
        assert saved.mode == "L" and saved.size == (400, 300)
        labels = np.asarray(saved)
    for name, box in boxes.items():
        assert iou(labels == PART_IDS[name], box) > 0.8, name
    plain = result.to_dict()
    assert tuple(plain["classes"]) == PARTS[1:]
    (face,) = plain["faces"]
    assert min(face["areas"].values()) > 400 and all(face["contours"].values())


def test_a_photo_without_a_face(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((640, 480))
    result = FaceSegmenter("separable-synthetic")(photo)
    assert result.faces == () and not result.labels.any()
    assert np.all(result.confidence() == 1)


@pytest.fixture(scope="module")
def synthetic_face():
    """An aligned synthetic face, and its classes."""
    face = synthesize_face(seed=9_000, index=3)
    target = FIVE_FEATURES.merge(paint_parts(face.masks, face.photo.shape[:2]))
    return Image.fromarray(face.photo), Image.fromarray(target)


def agreement(result, target):
    """Accuracy over the pixels that are foreground in either."""
    target = np.asarray(target)
    return (result.labels == target)[(result.labels > 0) | (target > 0)].mean()


@pytest.mark.parametrize("degrees", [0, 30, -100, 170])
@pytest.mark.parametrize("boxes_only", [False, True], ids=["own detector", "another one's box"])
def test_a_face_is_aligned(synthetic_face, degrees, boxes_only):
    side, corner = 320, (380, 200)
    photo, target = Image.new("RGB", (1000, 800), GREY), Image.new("L", (1000, 800))
    face, classes = synthetic_face
    square = Image.new("L", face.size, 255).rotate(-degrees).resize((side, side))
    face = face.rotate(-degrees, Image.Resampling.BICUBIC).resize((side, side))
    photo.paste(face, corner, square)
    target.paste(classes.rotate(-degrees).resize((side, side), Image.Resampling.NEAREST), corner)

    def box(photo):
        return np.array([[465.0, 270, 635, 460]]), None, np.array([0.7])

    segmenter = FaceSegmenter("separable-synthetic", detector=box if boxes_only else None)
    (found,) = segmenter(photo).faces
    assert math.hypot(found.roi.x - 540, found.roi.y - 360) < 0.06 * side
    assert abs(math.remainder(found.degrees - degrees, 360)) < 12
    assert found.roi.size == pytest.approx(side, rel=0.15)
    assert agreement(segmenter(photo), target) > 0.75
    assert found.confidence == 0.7 if boxes_only else found.confidence > 0.8


def test_a_face_that_fills_the_photo(synthetic_face):
    face, target = synthetic_face
    result = FaceSegmenter("separable-synthetic")(face)
    assert len(result.faces) == 1 and agreement(result, target) > 0.8


def test_confidence_is_below_1_only_where_the_faces_are(synthetic_face):
    photo = Image.new("RGB", (900, 600), GREY)
    photo.paste(synthetic_face[0].resize((300, 300)), (500, 200))
    detector = detector_of(upright(650, 350, 300))
    result = FaceSegmenter("separable-synthetic", detector=detector)(photo)
    confidence = result.confidence()
    assert confidence.shape == (600, 900) and (confidence[:, :480] == 1).all()
    low = confidence < 0.7
    assert low.any() and not low[:, :500].any()
    half = result.confidence((300, 450))
    assert half.shape == (300, 450)
    assert np.abs(half - confidence[::2, ::2]).mean() < 0.01


def test_segment_and_list_models_are_public_and_keep_models_in_memory(synthetic_face, monkeypatch):
    assert {"segment", "list_models"} <= set(dir(facesegkit))
    assert facesegkit.list_models()[0] == "separable"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = facesegkit.nothing
    result = facesegkit.segment(synthetic_face[0], "unet-synthetic")
    assert isinstance(result, facesegkit.SegmentationResult) and result.mask("eyes").any()
    expected = FaceSegmenter("unet-synthetic")(synthetic_face[0]).labels
    loader = "facesegkit.inference.segmenter.load_model"
    monkeypatch.setattr(loader, lambda *_, **__: pytest.fail("loaded again"))
    again = facesegkit.segment(synthetic_face[0], "unet-synthetic")
    np.testing.assert_array_equal(again.labels, expected)
    np.testing.assert_array_equal(result.labels, expected)
