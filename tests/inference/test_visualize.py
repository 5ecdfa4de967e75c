"""Images of a segmentation result, and saving them."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.visualize import (
    VIEWS,
    check_view_path,
    overlay,
    render,
    save_image,
    save_view,
)
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES


def checkered(height=60, width=90, scheme=FIVE_FEATURES):
    """All classes in blocks of 10 pixels, over a random photo."""
    blocks = np.arange(height // 10)[:, None] + np.arange(width // 10)
    labels = np.kron(blocks % len(scheme.class_names), np.ones((10, 10))).astype(np.uint8)
    photo = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    return SegmentationResult(labels, scheme, Image.fromarray(photo))


def test_mask_has_the_exact_colours_and_labels_the_class_ids():
    result = checkered()
    mask, labels = np.asarray(render(result, "mask")), render(result, "labels")
    np.testing.assert_array_equal(mask, FIVE_FEATURES.palette[result.labels])
    assert labels.mode == "L"
    np.testing.assert_array_equal(np.asarray(labels), result.labels)


@pytest.mark.parametrize("opacity", [0, 0.25, 0.5, 1])
def test_overlay_keeps_the_background_and_has_opaque_contours(opacity):
    result = checkered()
    photo, labels = np.asarray(result.photo), result.labels
    colours = FIVE_FEATURES.colour(labels)
    image = overlay(photo, labels, FIVE_FEATURES, opacity)
    np.testing.assert_array_equal(image[labels == 0], photo[labels == 0])
    np.testing.assert_array_equal(image[0, 10], colours[0, 10])  # the corner of class 1's block
    expected = (1 - opacity) * photo[5, 15] + opacity * colours[5, 15]
    np.testing.assert_allclose(image[5, 15], expected, atol=2)
    if opacity == 0.5:
        np.testing.assert_array_equal(np.asarray(render(result, "overlay")), image)


def test_overlay_in_tiles_is_that_of_the_whole_photo(monkeypatch):
    """Contours go on across the borders of tiles, also where they are several pixels wide."""
    result = checkered(height=60, width=900)
    whole = overlay(np.asarray(result.photo), result.labels, FIVE_FEATURES)
    monkeypatch.setattr("facesegkit.system.large_images._MAX_TILE", 900 * 7)
    np.testing.assert_array_equal(np.asarray(render(result, "overlay")), whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 3)])
def test_views_of_narrow_photos(shape):
    photo = Image.new("RGB", shape[::-1])
    result = SegmentationResult(np.ones(shape, dtype=np.uint8), FIVE_FEATURES, photo)
    for view in ("mask", "overlay", "labels"):
        assert render(result, view).size == photo.size
    assert render(result, "panel").mode == "RGB"


def test_panel_is_photo_mask_and_overlay_above_a_legend():
    result = checkered(height=100, width=400)
    panel = np.asarray(render(result, "panel"))
    np.testing.assert_array_equal(panel[:100, :400], np.asarray(result.photo))
    np.testing.assert_array_equal(panel[:100, 412:812], FIVE_FEATURES.colour(result.labels))
    np.testing.assert_array_equal(panel[:100, 824:], np.asarray(render(result, "overlay")))
    legend = panel[100:].reshape(-1, 3)
    for colour in FIVE_FEATURES.palette[1:]:
        assert (legend == colour).all(axis=1).sum() > 50


def test_panel_of_a_large_photo_is_downsampled():
    panel = np.asarray(render(checkered(height=2000, width=1000, scheme=ALL_PARTS), "panel"))
    assert panel.shape[1] == 3 * 384 + 2 * 12
    assert 768 < panel.shape[0] < 1000  # the legend takes several lines
    mask = panel[:768, 384 + 12 : 2 * 384 + 12].reshape(-1, 3)
    assert set(map(tuple, mask.tolist())) == set(map(tuple, ALL_PARTS.palette.tolist()))


@pytest.mark.parametrize("view", ["x-ray", "json"])  # there is no image of the latter
def test_an_unknown_view(view):
    message = f"no image of the view '{view}'; choose one of mask, overlay, panel, labels"
    with pytest.raises(FaceSegKitError, match=message):
        render(checkered(), view)


def test_the_json_view_is_the_result_as_plain_data(tmp_path):
    save_view(checkered(), "json", tmp_path / "out.JSON")
    assert json.loads((tmp_path / "out.JSON").read_text()) == checkered().to_dict()


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "json"])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".bmp"])
def test_saved_views_are_read_back_exactly(view, suffix, tmp_path):
    result = checkered()
    path = tmp_path / "made" / f"out{suffix}"
    save_view(result, view, path)
    with Image.open(path) as saved:
        assert saved.mode == ("L" if view == "labels" else "RGB")
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(render(result, view)))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_allowed_for_overlay_and_panel_only(suffix, tmp_path):
    for view in ("overlay", "panel"):
        save_view(checkered(), view, tmp_path / f"{view}{suffix}")
    for view in ("mask", "labels"):
        with pytest.raises(FaceSegKitError, match=f"{suffix} would change its values; use .png"):
            save_view(checkered(), view, tmp_path / f"{view}{suffix}")
    assert sorted(os.listdir(tmp_path)) == [f"overlay{suffix}", f"panel{suffix}"]


@pytest.mark.parametrize(
    ("name", "view", "use"),
    [("out", "overlay", ".png, .tif, .tiff, .bmp, .jpg"), ("out.json", "mask", ".png, .tif"),
     ("out.npy", "overlay", ".png, .tif, .tiff, .bmp, .jpg"), ("out.png", "json", ".json")],
)  # fmt: skip
def test_suffixes_that_do_not_fit_the_view(name, view, use):
    with pytest.raises(FaceSegKitError, match=f"as {name}; use {use}"):
        check_view_path(name, view)


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FaceSegKitError, match="Cannot write"):
        save_image(Image.new("L", (3, 2)), tmp_path / "file" / "out.png")
    with pytest.raises(FaceSegKitError, match="Cannot save .*wide.webp"):
        save_image(Image.new("RGB", (17_000, 1)), tmp_path / "wide.webp")
