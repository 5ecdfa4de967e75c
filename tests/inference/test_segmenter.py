"""From a photo to its segmentation, and to the pictures that show it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn

from facesegkit.checkpoint import Checkpoint
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_reduced
from facesegkit.inference.detector import Detector
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter, segment_many
from facesegkit.inference.visualize import (
    VIEWS,
    check_view_path,
    overlay,
    render,
    save_image,
    save_view,
)
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, LabelScheme, paint_parts
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic import synthesize_face

GREY = (128, 128, 128)


class ByColour(nn.Module):
    """Scores that take each class where the photo has about the class's own colour."""

    colours: Tensor

    def __init__(self, scheme: LabelScheme) -> None:
        super().__init__()
        self.register_buffer("colours", torch.from_numpy(scheme.palette[1:]).float() / 255)

    def forward(self, images: Tensor) -> Tensor:
        apart = images[:, None] - self.colours[None, :, :, None, None]  # [B, C - 1, 3, H, W]
        closeness = 0.25 - apart.square().sum(dim=2)
        return torch.cat([torch.zeros_like(closeness[:, :1]), closeness], dim=1)


@pytest.fixture(scope="module")
def segmenter() -> FaceSegmenter:
    model = ByColour(FIVE_FEATURES).eval()
    checkpoint = Checkpoint("by colour", model, FIVE_FEATURES, input_size=256)
    return FaceSegmenter(checkpoint, aligned=True)


@pytest.fixture(scope="module")
def noses() -> Model:
    """Knows noses only, so it cannot tell whether what it is shown is a face."""
    scheme = LabelScheme("noses", {"nose": ("nose",)}, [(0, 0, 255)])
    return Checkpoint("by colour", ByColour(scheme).eval(), scheme, input_size=256).runnable()


def photo_with(boxes: dict[str, tuple[int, int, int, int]], width: int, height: int) -> Image.Image:
    """A grey photo with a box (left, top, right, bottom) in the colour of each class."""
    photo = Image.new("RGB", (width, height), GREY)
    for name, box in boxes.items():
        colour = FIVE_FEATURES.palette[FIVE_FEATURES.class_names.index(name)]
        photo.paste(tuple(colour.tolist()), box)
    return photo


def assert_found(
    segmentation: SegmentationResult, name: str, box: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = box
    truth = np.zeros(segmentation.labels.shape, dtype=bool)
    truth[top:bottom, left:right] = True
    found = segmentation.mask(name)
    assert (found & truth).sum() / (found | truth).sum() > 0.9, f"{name} is elsewhere"


@pytest.mark.parametrize(
    ("width", "height"), [(256, 256), (640, 480), (301, 799), (100, 40), (1200, 301)]
)
def test_masks_lie_where_the_photo_has_them(
    segmenter: FaceSegmenter, width: int, height: int
) -> None:
    boxes = {
        "eyes": (width // 10, height // 10, width // 2, height // 2),
        "lips": (width // 2, height // 2, width, height),
    }
    found = segmenter(photo_with(boxes, width, height))
    assert found.labels.shape == (height, width) and found.labels.dtype == np.uint8
    for name, box in boxes.items():
        assert_found(found, name, box)
    assert found.fraction("nose") == 0
    assert found.fraction("lips") == pytest.approx(0.25, abs=0.02)


def test_exif_rotation_turns_photo_and_masks(segmenter: FaceSegmenter, tmp_path: Path) -> None:
    upright = photo_with({"nose": (20, 30, 90, 160)}, 120, 240)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    found = segmenter(tmp_path / "photo.png")
    assert found.photo.size == (120, 240)
    assert_found(found, "nose", (20, 30, 90, 160))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 200), (3000, 17), (255, 257)])
def test_odd_sizes(segmenter: FaceSegmenter, width: int, height: int) -> None:
    found = segmenter(Image.new("RGB", (width, height), (255, 0, 0)))
    assert found.labels.shape == (height, width)
    assert found.fraction("eyes") == 1


def finder_of(*places: tuple[float, float, float]) -> Detector:
    """A finder that is sure of frames with these middles and sizes, as shares of the photo."""

    def find(photos: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = (side // 8 for side in photos.shape[2:])
        output = np.full((1, 6, height, width), -9, dtype=np.float32)
        for x, y, size in places:
            column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
            log_size = np.log2(size * 8 * width / 64)
            logit = 4 - 0.1 * abs(log_size)
            offsets = x * width - column - 0.5, y * height - row - 0.5
            output[0, :, row, column] = (logit, *offsets, log_size, 1, 0)
        return output

    return find


def test_each_face_is_segmented_on_its_own_and_nothing_between(
    noses: Model, tmp_path: Path
) -> None:
    places = {"left": (200, 180, 240, 230), "right": (1000, 600, 1070, 680)}
    photo = Image.new("RGB", (1600, 1200), GREY)
    blue = tuple(FIVE_FEATURES.palette[FIVE_FEATURES.class_names.index("nose")].tolist())
    for box in (*places.values(), (700, 100, 760, 160)):  # the last one belongs to no face
        photo.paste(blue, box)
    find = finder_of((220 / 1600, 205 / 1200, 0.12), (1035 / 1600, 640 / 1200, 0.2))
    photo.save(tmp_path / "photo.png")
    for source in (photo, tmp_path / "photo.png"):
        found = FaceSegmenter(noses, find=find)(source)
        nose = found.mask("nose")
        assert not nose[100:160, 700:760].any()
        truth = np.zeros_like(nose)
        for left, top, right, bottom in places.values():
            truth[top:bottom, left:right] = True
        assert (nose & truth).sum() / (nose | truth).sum() > 0.9
        middles = sorted((round(face.roi.x), round(face.roi.y)) for face in found.faces)
        assert np.allclose(middles, [(220, 205), (1035, 640)], atol=4)


def test_a_photo_without_a_face_has_no_classes(segmenter: FaceSegmenter) -> None:
    photo = photo_with({"nose": (50, 50, 100, 100)}, 200, 200)
    found = FaceSegmenter(segmenter.model, find=finder_of())(photo)
    assert found.faces == () and not found.labels.any()


def test_a_large_jpeg_is_read_finely_enough_for_its_smallest_face(
    noses: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = []

    def note(source: Path, side: int) -> tuple[Image.Image, tuple[int, int]]:
        sides.append(side)
        return read_reduced(source, side)

    monkeypatch.setattr("facesegkit.inference.segmenter.read_reduced", note)
    photo = photo_with({"nose": (2100, 1500, 2160, 1570)}, 4000, 3000)
    photo.save(tmp_path / "photo.jpg", quality=95)
    small = FaceSegmenter(noses, find=finder_of((0.5325, 0.5117, 0.08)))
    assert small(tmp_path / "photo.jpg").mask("nose").sum() == pytest.approx(60 * 70, rel=0.15)
    large = FaceSegmenter(noses, find=finder_of((0.5, 0.5, 0.6)))
    large(tmp_path / "photo.jpg")
    assert sides == [512, 1024, 2560, 512]


BETWEEN = [88, 184, 360]  # where nobody was found at 64, 128, 256 and 512; multiples of 8


def only_of_sizes_it_knows(find: Detector, levels: list[int]) -> Detector:
    """The same finder, but blind to frames below 36 pixels; notes at which levels it looks."""

    def find_some(photos: NDArray[np.float32]) -> NDArray[np.float32]:
        levels.append(max(photos.shape[2:]))
        output = find(photos)
        output[:, 0][output[:, 3] < np.log2(36 / 64)] = -9
        return output

    return find_some


def test_small_faces_of_a_large_photo_are_found_at_finer_levels(
    noses: Model, tmp_path: Path
) -> None:
    small, smaller = (600, 500, 640, 530), (2700, 1500, 2720, 1518)
    photo = photo_with({"nose": small}, 3600, 2400)
    photo.paste(tuple(FIVE_FEATURES.palette[3].tolist()), smaller)
    photo.save(tmp_path / "photo.jpg", quality=95)
    # The first has 26 pixels at level 512 and 51 at 1024, the second 48 at 2048.
    places = (620 / 3600, 515 / 2400, 180 / 3600), (2710 / 3600, 1509 / 2400, 84 / 3600)
    for source in (photo, tmp_path / "photo.jpg"):
        levels: list[int] = []
        found = FaceSegmenter(noses, find=only_of_sizes_it_knows(finder_of(*places), levels))(
            source
        )
        assert sorted(round(face.roi.size) for face in found.faces) == [84, 180]
        nose = found.mask("nose")
        assert nose[1500:1518, 2700:2720].mean() > 0.8 and nose[500:530, 600:640].mean() > 0.9
        assert levels == [64, 128, 256, 512, *BETWEEN, 1024, 2048, 4096]


def test_a_large_face_is_reason_enough_to_look_no_further(noses: Model) -> None:
    levels: list[int] = []
    find = only_of_sizes_it_knows(finder_of((0.5, 0.5, 0.3)), levels)
    photo = photo_with({"nose": (1900, 1400, 2100, 1600)}, 4000, 3000)
    assert len(FaceSegmenter(noses, find=find)(photo).faces) == 1
    assert levels == [64, 128, 256, 512]


def test_nobody_is_not_looked_for_endlessly() -> None:
    levels: list[int] = []
    find = only_of_sizes_it_knows(finder_of(), levels)
    assert FaceSegmenter(find=find)(Image.new("RGB", (4000, 3000), GREY)).faces == ()
    assert levels == [64, 128, 256, 512, *BETWEEN, 1024, 2048]
    levels.clear()
    FaceSegmenter(find=find)(Image.new("RGB", (600, 500), GREY))
    assert levels == [64, 128, 256, 512, *BETWEEN, 1024]


def test_a_face_that_is_missed_is_looked_for_once_more_at_sizes_in_between(noses: Model) -> None:
    find = finder_of((0.5, 0.5, 0.3))

    def blind_at_first(photos: NDArray[np.float32]) -> NDArray[np.float32]:
        output = find(photos)
        output[:, 0] -= 20 * (max(photos.shape[2:]) not in BETWEEN)
        return output

    photo = photo_with({"nose": (1900, 1400, 2100, 1600)}, 4000, 3000)
    [face] = FaceSegmenter(noses, find=blind_at_first)(photo).faces
    assert (face.roi.x, face.roi.y) == pytest.approx((2000, 1500), abs=20)


@pytest.fixture(scope="module")
def drawn_face() -> tuple[Image.Image, NDArray[np.uint8]]:
    """A drawn face, which fills its picture as an aligned one does, and its classes."""
    face = synthesize_face(seed=9_000, index=3)
    truth = FIVE_FEATURES.merge(paint_parts(face.masks, face.photo.shape[:2]))
    return Image.fromarray(face.photo), truth


def f1_of(found: SegmentationResult, truth: NDArray[np.uint8]) -> float:
    return SegmentationMetrics(confusion_matrix(truth, found.labels, 6)).mean_f1


@pytest.mark.parametrize("degrees", [0, 30, -100, 170])
def test_a_face_stands_as_the_model_sees_it_not_as_the_finder_says(
    drawn_face: tuple[Image.Image, NDArray[np.uint8]], degrees: int
) -> None:
    """This finder is wrong about the angle, and a little about place and size."""
    side, corner = 320, (380, 200)
    photo, truth = Image.new("RGB", (1000, 800), GREY), Image.new("L", (1000, 800))
    face, classes = drawn_face
    whole = Image.new("L", face.size, 255).rotate(-degrees).resize((side, side))
    photo.paste(face.rotate(-degrees, Image.Resampling.BICUBIC).resize((side, side)), corner, whole)
    turned = Image.fromarray(classes).rotate(-degrees)
    truth.paste(turned.resize((side, side), Image.Resampling.NEAREST), corner)
    find = finder_of((0.55, 0.47, 0.36))
    found = FaceSegmenter("separable-synthetic", find=find)(photo)
    (frame,) = [face.roi for face in found.faces]
    assert math.hypot(frame.x - 540, frame.y - 360) < 0.06 * side
    turn = (math.degrees(frame.angle) - degrees + 180) % 360 - 180
    assert abs(turn) < 12 and frame.size == pytest.approx(side, rel=0.15)
    assert f1_of(found, np.array(truth)) > 0.75


def test_what_the_model_sees_no_face_in_is_dropped() -> None:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((640, 480))
    found = FaceSegmenter("separable-synthetic", find=finder_of((0.5, 0.5, 0.4)))(photo)
    assert found.faces == () and not found.labels.any()
    assert np.all(found.confidence() == 1)


@pytest.mark.parametrize("wrong", [(), ((0.1, 0.1, 0.1),)], ids=["nothing", "a wrong place"])
def test_a_face_that_fills_the_photo_is_seen_though_the_finder_is_not(
    drawn_face: tuple[Image.Image, NDArray[np.uint8]], wrong: tuple[tuple[float, ...], ...]
) -> None:
    face, truth = drawn_face
    found = FaceSegmenter("separable-synthetic", find=finder_of(*wrong))(face)
    assert len(found.faces) == 1 and f1_of(found, truth) > 0.8


def test_confidence_of_faces_lies_where_they_are(
    drawn_face: tuple[Image.Image, NDArray[np.uint8]],
) -> None:
    face, _ = drawn_face
    photo = Image.new("RGB", (900, 600), GREY)
    photo.paste(face.resize((300, 300)), (500, 200))
    segmenter = FaceSegmenter("separable-synthetic", find=finder_of((650 / 900, 350 / 600, 1 / 3)))
    found = segmenter(photo)
    confidence = found.confidence()
    assert confidence.shape == (600, 900) and (confidence[:, :480] == 1).all()
    unsure = confidence < 0.7
    outlines = np.zeros_like(unsure)
    outlines[1:-1, 1:-1] = found.labels[2:, 1:-1] != found.labels[:-2, 1:-1]
    outlines[1:-1, 1:-1] |= found.labels[1:-1, 2:] != found.labels[1:-1, :-2]
    assert confidence[outlines].mean() < confidence[found.labels > 0].mean() - 0.1
    assert unsure.any() and unsure[:, 500:].sum() == unsure.sum()
    half = found.confidence((300, 450))
    assert half.shape == (300, 450)
    assert np.abs(half - confidence[::2, ::2]).mean() < 0.01


def test_paths_pictures_and_arrays_are_alike(segmenter: FaceSegmenter, tmp_path: Path) -> None:
    photo = photo_with({"mouth": (5, 5, 40, 30)}, 60, 50)
    photo.save(tmp_path / "photo.png")
    expected = segmenter(photo).labels
    for given in (tmp_path / "photo.png", str(tmp_path / "photo.png"), np.asarray(photo)):
        np.testing.assert_array_equal(segmenter(given).labels, expected)
    assert segmenter(photo.convert("RGBA")).photo.mode == "RGB"


def with_scores(planes: list[float]) -> FaceSegmenter:
    """A segmenter whose model gives every pixel the same scores, of two classes."""
    scheme = LabelScheme("one", {"nose": ("nose",)}, [(0, 0, 255)])
    scores = np.array(planes, np.float32)[None, :, None, None] * np.ones((1, 1, 16, 16), np.float32)
    return FaceSegmenter(Model(lambda photos: scores, scheme, input_size=16), aligned=True)


def test_confidence_is_the_highest_share_after_softmax() -> None:
    photo = Image.new("RGB", (20, 10))
    for planes, expected in (([0, 0], 0.5), ([0, np.log(3)], 0.75), ([1e4, 0], 1.0)):
        confidence = with_scores(planes)(photo).confidence()
        assert confidence.shape == (10, 20) and confidence.dtype == np.float32
        np.testing.assert_allclose(confidence, expected, rtol=1e-6)
    assert with_scores([0, 0])(photo).confidence((3, 7)).shape == (3, 7)


def test_confidence_falls_towards_outlines(segmenter: FaceSegmenter, tmp_path: Path) -> None:
    photo = photo_with({"eyes": (60, 60, 180, 180)}, 240, 240)
    photo.filter(ImageFilter.GaussianBlur(4)).save(tmp_path / "photo.png")
    confidence = segmenter(tmp_path / "photo.png").confidence()
    assert confidence[120, 60] < confidence[120, 120] - 0.01


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_arrays_of_another_form(segmenter: FaceSegmenter, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        segmenter(np.zeros(shape, dtype=np.uint8))


def test_one_bad_photo_does_not_stop_the_rest(segmenter: FaceSegmenter, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("not a photo")
    photo_with({}, 8, 8).save(tmp_path / "good.png")
    results = dict(segment_many(segmenter, [tmp_path / "bad.jpg", tmp_path / "good.png"]))
    assert isinstance(results[tmp_path / "bad.jpg"], FaceSegKitError)
    assert isinstance(results[tmp_path / "good.png"], SegmentationResult)


def checkered(
    height: int = 60, width: int = 90, scheme: LabelScheme = FIVE_FEATURES
) -> SegmentationResult:
    """All classes in blocks of 10 pixels, over a random photo."""
    count = len(scheme.class_names)
    blocks = np.arange(height // 10)[:, None] + np.arange(width // 10)
    labels = np.kron(blocks % count, np.ones((10, 10))).astype(np.uint8)
    photo = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    return SegmentationResult(labels, scheme, Image.fromarray(photo))


def test_an_unknown_class() -> None:
    with pytest.raises(FaceSegKitError, match="no class 'ears'.*eyes, eyebrows"):
        checkered().mask("ears")


def test_mask_view_has_the_exact_colours() -> None:
    segmentation = checkered()
    mask = np.asarray(render(segmentation, "mask"))
    for class_id, colour in enumerate(FIVE_FEATURES.palette):
        assert (mask[segmentation.labels == class_id] == colour).all()


def test_labels_view_is_one_channel_of_class_ids() -> None:
    segmentation = checkered()
    image = render(segmentation, "labels")
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), segmentation.labels)


def test_overlay_leaves_the_background_and_draws_outlines() -> None:
    segmentation = checkered()
    photo, labels = np.asarray(segmentation.photo), segmentation.labels
    found = overlay(photo, labels, FIVE_FEATURES)
    np.testing.assert_array_equal(found[labels == 0], photo[labels == 0])
    colours = segmentation.colours()
    np.testing.assert_array_equal(found[0, 10], colours[0, 10])  # the corner of class 1's block
    middle = (5, 15)
    assert labels[middle] == 1
    np.testing.assert_array_equal(found[middle], photo[middle] // 2 + colours[middle] // 2)


def test_opacity_is_how_much_of_the_photo_the_colours_hide() -> None:
    segmentation = checkered()
    photo, labels = np.asarray(segmentation.photo), segmentation.labels
    inner, outline = (5, 15), (0, 10)
    for opacity in (0, 0.25, 1):
        found = overlay(photo, labels, FIVE_FEATURES, opacity)
        expected = (1 - opacity) * photo[inner] + opacity * segmentation.colours()[inner]
        np.testing.assert_allclose(found[inner], expected, atol=2)
        np.testing.assert_array_equal(found[outline], segmentation.colours()[outline])


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 3)])
def test_views_of_narrow_photos(shape: tuple[int, int]) -> None:
    photo = Image.new("RGB", shape[::-1])
    segmentation = SegmentationResult(np.ones(shape, dtype=np.uint8), FIVE_FEATURES, photo)
    for view in ("mask", "overlay", "labels"):
        assert render(segmentation, view).size == photo.size
    assert render(segmentation, "panel").mode == "RGB"


def test_panel_is_photo_mask_and_overlay_above_a_legend() -> None:
    segmentation = checkered(height=100, width=400)
    panel = np.asarray(render(segmentation, "panel"))
    np.testing.assert_array_equal(panel[:100, :400], np.asarray(segmentation.photo))
    np.testing.assert_array_equal(panel[:100, 412:812], segmentation.colours())
    overlaid = np.asarray(render(segmentation, "overlay"))
    np.testing.assert_array_equal(panel[:100, 824:], overlaid)
    legend = panel[100:].reshape(-1, 3)
    for colour in FIVE_FEATURES.palette[1:]:
        assert (legend == colour).all(axis=1).sum() > 50


def test_panel_of_a_large_photo_is_small_enough_to_look_at() -> None:
    panel = np.asarray(render(checkered(height=2000, width=1000, scheme=ALL_PARTS), "panel"))
    assert panel.shape[1] == 3 * 384 + 2 * 12
    assert 768 < panel.shape[0] < 1000  # the legend takes several lines
    mask = panel[:768, 384 + 12 : 2 * 384 + 12].reshape(-1, 3)
    assert set(map(tuple, mask.tolist())) == set(map(tuple, ALL_PARTS.palette.tolist()))


def test_an_unknown_view() -> None:
    for view in ("x-ray", "json"):  # there is no picture of the latter
        message = f"no picture of the view '{view}'; choose one of mask, overlay, panel, labels"
        with pytest.raises(FaceSegKitError, match=message):
            render(checkered(), view)


def test_numbers_are_saved_as_json(tmp_path: Path) -> None:
    segmentation = checkered()
    save_view(segmentation, "json", tmp_path / "out.JSON")
    assert json.loads((tmp_path / "out.JSON").read_text()) == segmentation.to_dict()
    with pytest.raises(FaceSegKitError, match="as out.png; use .json"):
        save_view(segmentation, "json", "out.png")
    with pytest.raises(FaceSegKitError, match="as out.json; use .png, .tif"):
        save_view(segmentation, "mask", "out.json")


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "json"])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".bmp"])
def test_saved_views_come_back_exactly(view: str, suffix: str, tmp_path: Path) -> None:
    segmentation = checkered()
    path = tmp_path / "made" / f"out{suffix}"
    save_view(segmentation, view, path)
    with Image.open(path) as saved:
        assert saved.mode == ("L" if view == "labels" else "RGB")
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(render(segmentation, view)))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_for_looking_at(suffix: str, tmp_path: Path) -> None:
    for view in ("overlay", "panel"):
        save_view(checkered(), view, tmp_path / f"{view}{suffix}")
    for view in ("mask", "labels"):
        with pytest.raises(FaceSegKitError, match=f"{suffix} would change its values; use .png"):
            save_view(checkered(), view, tmp_path / f"{view}{suffix}")
    assert sorted(os.listdir(tmp_path)) == [f"overlay{suffix}", f"panel{suffix}"]


@pytest.mark.parametrize("name", ["out", "out.txt", "out.npy"])
def test_unknown_formats(name: str) -> None:
    with pytest.raises(FaceSegKitError, match=f"as {name}; use .png, .tif, .tiff, .bmp, .jpg"):
        check_view_path(name, "overlay")


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.png"
    save_image(Image.new("L", (3, 2)), path)
    before = path.read_bytes()

    def write_half(_: Image.Image, unfinished: Path, **options: object) -> None:
        unfinished.write_bytes(before[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", write_half)
    with pytest.raises(FaceSegKitError, match="Cannot write .*out.png: No space left on device"):
        save_image(Image.new("L", (5, 5)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.png"]


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FaceSegKitError, match="Cannot write"):
        save_image(Image.new("L", (3, 2)), tmp_path / "file" / "out.png")


def test_importing_does_not_import_torch() -> None:
    """Commands import this module for their --help."""
    program = "import sys, facesegkit.segment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_large_jpeg_is_decoded_in_full_only_for_its_picture(
    segmenter: FaceSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photo_with({"eyes": (200, 100, 900, 500), "lips": (600, 700, 1500, 1100)}, 1600, 1200)
    photo.save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.setattr(
        "facesegkit.inference.results.read_photo", lambda path: pytest.fail("decoded")
    )
    found = segmenter(tmp_path / "photo.jpg")
    save_view(found, "labels", tmp_path / "labels.png")
    save_view(found, "mask", tmp_path / "mask.png")
    assert found.labels.shape == (1200, 1600)
    assert_found(found, "eyes", (200, 100, 900, 500))
    assert (found.labels == segmenter(photo).labels).mean() > 0.99
    monkeypatch.undo()
    assert found.photo.size == (1600, 1200)


def test_a_photo_that_has_changed_meanwhile_is_told(
    segmenter: FaceSegmenter, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    found = segmenter(tmp_path / "photo.png")
    Image.new("RGB", (50, 30)).save(tmp_path / "photo.png")
    with pytest.raises(FaceSegKitError, match="photo.png has changed since"):
        render(found, "overlay")
