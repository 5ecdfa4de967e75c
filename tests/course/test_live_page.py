"""The live page in Chromium finds the same faces and masks as `FaceSegmenter`.

Skipped without Chromium, or without Playwright to control it.
"""

import io

import live_page
import numpy as np
import pytest
from live_page import MODELS, equal_pixels, give, photos, png, result_of, says
from PIL import Image

from facesegkit.inference.segmenter import FaceSegmenter

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(live_page.chromium() is None, reason="there is no Chromium")

LEAST_EQUAL = 0.98  # of the pixels that Python or the page marks


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of the assembled page."""
    folder = tmp_path_factory.mktemp("live")
    with live_page.served(folder) as address:
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 15e6
        yield address


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    film = tmp_path_factory.mktemp("film") / "film.y4m"
    live_page.write_film(film, fps=10)
    with live_page.browser(film) as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.requested, page.failures = [], []
        page.context.on("request", lambda request: page.requested.append(request.url))
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.goto(address)
        says(page, "Ready")
        yield page


@pytest.mark.parametrize("name", photos())
def test_the_page_finds_the_same_faces_and_pixels_as_python(page, name):
    content = photos()[name]
    page.select_option("#model", MODELS[0])
    give(page, name, content)
    for model in MODELS:
        page.select_option("#model", model)  # at once
        says(page, "found")
        faces, labels = result_of(page)
        expected = FaceSegmenter(model)(Image.open(io.BytesIO(content)))
        assert len(faces) == len(expected.faces) > 0
        for face, other in zip(faces, expected.faces, strict=True):
            assert face["confidence"] == pytest.approx(other.confidence, abs=0.02)
            shift = np.hypot(face["roi"]["x"] - other.roi.x, face["roi"]["y"] - other.roi.y)
            assert shift < 0.02 * other.roi.size
        assert equal_pixels(labels, expected) >= LEAST_EQUAL


def test_of_two_photos_only_the_second_is_shown(page):
    page.evaluate("document.getElementById('status').textContent = ''")
    for name in ("group.png", "portrait.jpg"):
        page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": photos()[name]})
    says(page, "1 face found")
    page.wait_for_timeout(500)
    assert page.evaluate("window.result().faces.length") == 1
    says(page, "1 face found")


def test_a_text_file_is_answered_in_one_sentence(page):
    message = give(page, "notes.txt", b"no image")
    assert message.startswith("notes.txt is not an image") and message.count(".") == 2


def test_a_photo_without_a_face_is_answered(page):
    assert give(page, "grey.png", png(Image.new("RGB", (64, 64)))).startswith("No face was found")


def test_the_download_is_the_overlay_at_the_photos_size(page, tmp_path):
    content = photos()["portrait.jpg"]
    give(page, "portrait.jpg", content)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    download.value.save_as(tmp_path / "faces.png")
    with Image.open(tmp_path / "faces.png") as image, Image.open(io.BytesIO(content)) as of:
        assert image.format == "PNG" and image.size == of.size
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(of)).max() > 50


def test_the_camera_shows_masks_and_frames_per_second_and_stops(page):
    page.get_by_role("button", name="Use camera").click()
    says(page, "frames per second", "#rate")
    faces, labels = result_of(page)
    assert len(faces) == 1 and labels.shape == (480, 640) and len(np.unique(labels)) > 4
    page.get_by_role("button", name="Stop camera").click()
    assert page.locator("#rate").inner_text() == ""


def test_nothing_leaves_the_pages_own_host(page, address):
    assert any(url.endswith("separable-open.onnx") for url in page.requested)
    outside = [url for url in page.requested if not url.startswith((address, "data:", "blob:"))]
    assert not outside and not page.failures
