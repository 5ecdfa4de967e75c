"""The live page (docs/live) in headless Chromium: frames per second, and how equal it is to Python.

    python benchmarks/live_page.py

The camera shows the astronaut, 640 x 480 at 30 frames per second, moving and rotating a little, so
that no frame is like the one before. Frames per second are the median and the maximum of what the
page says in ten seconds, each model on one thread. Five photos are given to the page as files:
milliseconds from the file to the mask, the search included, the median of three; and of the pixels
that Python or the page marks the fraction to which both give the same class. Needs Chromium and
Playwright. Writes benchmarks/results/live_page.json.
"""

import functools
import http.server
import importlib.util
import io
import math
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import ASTRONAUT, TOP, save_results
from PIL import Image

from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic import synthesize_face

MODELS = ("separable-open", "unet-open")
SIZE, FPS, SECONDS = (640, 480), 30, 4  # of the camera's film, which repeats
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
RESULT = """() => {
    const { labels, faces, width, height } = window.result();
    return { text: new TextDecoder().decode(labels), faces, width, height };
}"""


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Assemble the page in a folder; its address while it is served."""
    spec = importlib.util.spec_from_file_location("live_build", TOP / "docs/live/build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(folder)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def browser(film: Path) -> Iterator[Any]:
    """Chromium, whose camera shows a film."""
    from playwright.sync_api import sync_playwright

    flags = [*FLAGS.split(), f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=flags)
        yield started
        started.close()


def write_film(path: Path, fps: int = FPS) -> None:
    """What the camera sees, as uncompressed YUV4MPEG2."""
    with Image.open(ASTRONAUT) as image:
        photo = image.convert("RGB")
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(fps * SECONDS):
            swing = math.sin(2 * math.pi * number / (fps * SECONDS))
            cosine, sine = math.cos(0.1 * swing), math.sin(0.1 * swing)
            affine = (cosine, -sine, -60 + 20 * swing, sine, cosine, -30.0)
            bilinear = Image.Resampling.BILINEAR
            view = photo.transform(SIZE, Image.Transform.AFFINE, affine, bilinear)
            luma, *chroma = view.convert("YCbCr").split()
            planes = (luma, *(plane.reduce(2) for plane in chroma))
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes))


def photos() -> dict[str, bytes]:
    """Five photos, as files: scene, portrait, group, synthetic face, rotated by EXIF."""
    group = Image.new("RGB", (900, 420), "lightsteelblue")
    for number, name in enumerate(("01", "02", "04")):
        with Image.open(TOP / f"figures/portraits/{name}.jpg") as portrait:
            resized = portrait.convert("RGB").resize((260, 260))
        group.paste(resized, (20 + 290 * number, 60 + 20 * number))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    with Image.open(ASTRONAUT) as image:
        stored = image.transpose(Image.Transpose.ROTATE_90)
    return {
        "astronaut.jpg": ASTRONAUT.read_bytes(),
        "portrait.jpg": (TOP / "figures/portraits/03.jpg").read_bytes(),
        "group.png": png(group),
        "synthetic.png": png(Image.fromarray(synthesize_face(seed=0, index=55).photo)),
        "rotated.png": png(stored, exif=exif),
    }


def png(image: Image.Image, **options: Any) -> bytes:
    """An image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def says(page: Any, pattern: str, where: str = "#status") -> None:
    """Wait for a text; not in JavaScript, which the page's security policy forbids."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_have_text(re.compile(pattern), timeout=30_000)


def give(page: Any, name: str, content: bytes) -> str:
    """Give the page a file, and wait for what it says about it."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": content})
    says(page, "found|not an image|could not")
    message: str = page.locator("#status").inner_text()
    assert "could not" not in message, message
    return message


def result_of(page: Any) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """The faces that the page shows, and class ids, uint8 [H, W]."""
    result = page.evaluate(RESULT)
    ids = np.frombuffer(result["text"].encode(), np.uint8)
    return result["faces"], ids.reshape(result["height"], result["width"])


def equal_pixels(ids: np.ndarray[Any, np.dtype[np.uint8]], expected: SegmentationResult) -> float:
    """Of the pixels that either marks, the fraction with the same class."""
    marked = (ids > 0) | (expected.labels > 0)
    return float((ids == expected.labels)[marked].mean())


def of_photo(page: Any, model: str, name: str, content: bytes) -> dict[str, float]:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        give(page, name, content)
        times.append(time.perf_counter() - started)
    with Image.open(io.BytesIO(content)) as image:
        equal = equal_pixels(result_of(page)[1], FaceSegmenter(model)(image))
    return {"milliseconds": round(1000 * median(times)), "equal pixels": round(equal, 4)}


def of_camera(page: Any) -> dict[str, float]:
    """Frames per second that the page says, in ten seconds after the first."""
    page.get_by_role("button", name="Use camera").click()
    says(page, "frames", "#rate")
    rates = []
    for _ in range(10):
        time.sleep(1.2)
        rates.append(float(page.locator("#rate").inner_text().split()[0]))
    page.get_by_role("button", name="Stop camera").click()
    return {"frames per second": median(rates), "in the best second": max(rates)}


def main() -> None:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_film(Path(folder, "film.y4m"))
        with served(Path(folder, "site")) as address, browser(Path(folder, "film.y4m")) as started:
            page = started.new_page()
            page.goto(address)
            for model in MODELS:
                page.select_option("#model", model)
                says(page, "Ready|found")
                shown = {name: of_photo(page, model, name, of) for name, of in photos().items()}
                results[model] = {"camera": of_camera(page), "photos": shown}
    files = (TOP / "docs" / "live").glob("*.js")
    code = [line.strip() for file in files for line in file.read_text("utf-8").splitlines()]
    comments = ("//", "/**", "* ", "*/")
    results["lines of JavaScript"] = sum(1 for x in code if x and not x.startswith(comments))
    save_results("live_page", results)


if __name__ == "__main__":
    main()
