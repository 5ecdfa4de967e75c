"""The live page in Chromium finds the same faces and masks as `FaceSegmenter`.

Equal pixels: of those that Python or the page marks (class above 0), the fraction to which both
give the same class. Skipped without Chromium, or without Playwright to control it.
"""

import functools
import http.server
import importlib.util
import io
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from damage import encoded
from PIL import Image

from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic import synthesize_face

playwright = pytest.importorskip("playwright.sync_api")

TOP = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"there is no {' or '.join(NAMES)}")

LEAST_EQUAL = 0.98
RESULT = """() => {
    const { labels, faces, width, height } = window.result();
    let text = "";
    for (const id of labels) text += id;
    return { text, faces, width, height };
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of the assembled page."""
    folder = tmp_path_factory.mktemp("live")
    spec = importlib.util.spec_from_file_location("live_build", TOP / "docs/live/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(folder)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 15e6
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(address):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.requested, page.failures = [], []
        page.context.on("request", lambda request: page.requested.append(request.url))
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.goto(address)
        says(page, "Ready")
        yield page
        browser.close()


def photos():
    """Five photos: portrait, scene, group, synthetic face, rotated by EXIF."""
    group = Image.new("RGB", (900, 420), "lightsteelblue")
    for number, name in enumerate(("01", "02", "04")):
        portrait = Image.open(TOP / f"figures/portraits/{name}.jpg").convert("RGB")
        group.paste(portrait.resize((260, 260)), (20 + 290 * number, 60 + 20 * number))
    astronaut = Image.open(TOP / "figures/astronaut.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    rotated = io.BytesIO()
    astronaut.transpose(Image.Transpose.ROTATE_90).save(rotated, "PNG", exif=exif)
    return {
        "astronaut.jpg": (TOP / "figures/astronaut.jpg").read_bytes(),
        "portrait.jpg": (TOP / "figures/portraits/03.jpg").read_bytes(),
        "group.png": encoded(group),
        "synthetic.png": encoded(Image.fromarray(synthesize_face(seed=0, index=55).photo)),
        "rotated.png": rotated.getvalue(),
    }


def says(page, pattern, where="#status"):
    """Wait for a text; not in JavaScript, which the page's security policy forbids."""
    playwright.expect(page.locator(where)).to_have_text(re.compile(pattern), timeout=30_000)


def give(page, name, content):
    """Give the page a file, and wait for what it says about it."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": content})
    says(page, "found|not an image|could not")
    message = page.locator("#status").inner_text()
    assert "could not" not in message, message
    return message


def segmented(page, name, content):
    """Faces and class ids [H, W] that the page finds."""
    give(page, name, content)
    result = page.evaluate(RESULT)
    ids = np.frombuffer(result["text"].encode(), np.uint8) - ord("0")
    return result["faces"], ids.reshape(result["height"], result["width"])


@pytest.mark.parametrize("name", photos())
@pytest.mark.parametrize("model", ["separable-open", "unet-open"])
def test_the_page_finds_the_same_faces_and_pixels_as_python(page, model, name):
    content = photos()[name]
    page.select_option("#model", model)
    says(page, "Ready|found")
    faces, labels = segmented(page, name, content)
    expected = FaceSegmenter(model)(Image.open(io.BytesIO(content)))
    assert len(faces) == len(expected.faces) > 0
    for face, other in zip(faces, expected.faces, strict=True):
        assert face["confidence"] == pytest.approx(other.confidence, abs=0.02)
        shift = np.hypot(face["roi"]["x"] - other.roi.x, face["roi"]["y"] - other.roi.y)
        assert shift < 0.02 * other.roi.size
    marked = (labels > 0) | (expected.labels > 0)
    equal = float((labels == expected.labels)[marked].mean())
    print(f"{model} {name}: {len(faces)} faces, {equal:.4%} equal")
    assert equal >= LEAST_EQUAL


def test_a_text_file_is_answered_in_one_sentence(page):
    message = give(page, "notes.txt", b"no image")
    assert message.startswith("notes.txt is not an image") and message.count(".") == 2


def test_a_photo_without_a_face_is_answered(page):
    assert give(page, "grey.png", encoded(Image.new("RGB", (64, 64)))).startswith(
        "No face was found"
    )


def test_the_download_is_the_overlay_at_the_photos_size(page, tmp_path):
    give(page, "astronaut.jpg", photos()["astronaut.jpg"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    download.value.save_as(tmp_path / "faces.png")
    with (
        Image.open(tmp_path / "faces.png") as image,
        Image.open(TOP / "figures/astronaut.jpg") as of,
    ):
        assert image.format == "PNG" and image.size == of.size
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(of)).max() > 50


def test_the_camera_shows_frames_per_second_and_stops(page):
    page.get_by_role("button", name="Use camera").click()
    says(page, "frames per second", "#rate")
    page.get_by_role("button", name="Stop camera").click()
    assert page.locator("#rate").inner_text() == ""


def test_nothing_leaves_the_pages_own_host(page, address):
    assert any(url.endswith("separable-open.onnx") for url in page.requested)
    outside = [url for url in page.requested if not url.startswith((address, "data:", "blob:"))]
    assert not outside and not page.failures
