"""Lesson 6 in JupyterLab in a browser: it runs, and its explorer responds to the mouse.

Skipped without Chromium, or without Playwright to control it.
"""

import base64
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from damage import encoded
from PIL import Image, ImageOps

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")

TOP = Path(__file__).parents[2]
LESSON = "06-segment-your-own-photos.ipynb"
GLOSSARY, CARD = "notebooks/glossary.md", "facesegkit/weights/separable.md"
LINKS = f"[learning rate](glossary.md#learning-rate), [model card](../{CARD})"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
HERE = "http://127.0.0.1"
TOKEN = "test"

EMPTY_IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'

# The bytes of the explorer's picture as base64; its blob: address changes with it.
PICTURE = """async () => {
    const image = document.querySelector("img.widget-image");
    const content = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return btoa(content.reduce((text, byte) => text + String.fromCharCode(byte), ""));
}"""

CELLS = """() =>
    window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.toJSON())
"""

RUN_ALL = """() => {
    window.ended = false;
    window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => window.ended = true);
}"""

KERNEL_IS_IDLE = """() =>
    window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === "idle"
"""

TO_THE_EXPLORER = """async () => {
    const content = window.jupyterapp.shell.currentWidget.content;
    const sources = content.widgets.map(cell => cell.model.sharedModel.source);
    const index = sources.findIndex(source => source.startsWith("explorer = Explorer()"));
    content.activeCellIndex = index;
    await content.scrollToItem(index, "start");
}"""

CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"there is no {' or '.join(NAMES)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like the project's, with a copy of the lesson and what LINKS lead to."""
    folder = tmp_path_factory.mktemp("lab")
    for name in (f"notebooks/{LESSON}", GLOSSARY, CARD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, folder / name)
    cell = {"cell_type": "markdown", "id": "links", "metadata": {}, "source": LINKS}
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks" / "links.ipynb").write_text(json.dumps(notebook))
    if os.access(TOP / "data", os.W_OK):  # it may contain the lesson's data already
        (folder / "data").symlink_to(TOP / "data", target_is_directory=True)
    else:
        (folder / "data").mkdir()
        shutil.copy(TOP / "data" / "README.md", folder / "data")
    return folder


def options_of_make_lab():
    """Options that `make lab` passes to JupyterLab."""
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", (TOP / "Makefile").read_text(), re.MULTILINE)[1]
    command = shlex.split(recipe.replace("\\\n", " "))
    assert command[:2] == ["$(BIN)/jupyter", "lab"]
    return command[2:]


@pytest.fixture(scope="module")
def address(folder):
    """Address of JupyterLab as `make lab` starts it, but with its own settings."""
    names = "JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR JUPYTERLAB_SETTINGS_DIR"
    names += " JUPYTERLAB_WORKSPACES_DIR IPYTHONDIR"
    settings = {name: str(folder / name.lower()) for name in names.split()}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = "--no-browser --allow-root --expose-app-in-browser --ServerApp.port_retries=0"
    options += f" --ServerApp.port={port} --IdentityProvider.token={TOKEN}"
    command = [sys.executable, "-m", "jupyterlab", *options_of_make_lab(), *options.split()]
    log = folder / "log"
    with log.open("w") as output:
        env = {**os.environ, **settings}
        files = {"cwd": folder, "stdout": output, "stderr": subprocess.STDOUT}
        server = subprocess.Popen(command, env=env, **files)
        try:
            wait_for(lambda: answers(f"{HERE}:{port}/api", server), 90, log.read_text)
            yield f"{HERE}:{port}/lab"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def answers(address, server):
    assert server.poll() is None, "JupyterLab has ended"
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def wait_for(condition, seconds, on_failure):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {on_failure()}")
        time.sleep(0.05)


class Lab:
    """The lesson in JupyterLab."""

    def __init__(self, page):
        self.page = page
        page.set_default_timeout(120_000)  # JupyterLab on a busy machine
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._on_console)
        # The badges at the top are remote, and the test must not depend on the network.
        page.route(
            lambda url: not url.startswith((HERE, "blob:", "data:")),
            lambda route: route.fulfill(content_type="image/svg+xml", body=EMPTY_IMAGE),
        )

    def _on_console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def run_all(self, address):
        self.page.goto(f"{address}/tree/notebooks/{LESSON}?token={TOKEN}")
        self.page.wait_for_function(KERNEL_IS_IDLE, timeout=120_000)
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function("window.ended", timeout=300_000)
        self.page.evaluate(TO_THE_EXPLORER)
        self.page.wait_for_selector("img.widget-image", timeout=30_000)

    def picture(self):
        return base64.b64decode(self.page.evaluate(PICTURE))

    def changes_picture(self, action):
        """Do something and wait until the picture has changed."""
        before = self.picture()
        action()
        wait_for(lambda: self.picture() != before, 30, self.message)

    def shows(self, condition):
        """Wait until the picture satisfies a condition."""
        wait_for(lambda: condition(Image.open(io.BytesIO(self.picture()))), 30, self.message)

    def message(self):
        """The explorer's message, or an empty string."""
        return " ".join(self.page.locator('.widget-html [role="status"]').all_inner_texts())

    def upload(self, name, content):
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("button.widget-upload").click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": content})


@pytest.fixture(scope="module")
def lab(address):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        lab = Lab(browser.new_page(viewport={"width": 1400, "height": 1000}))
        lab.run_all(address)
        yield lab
        browser.close()


def astronaut():
    """A photo of a face, aligned as in training."""
    return Image.open(TOP / "figures" / "astronaut.jpg").crop((129, 11, 319, 201))


def test_all_cells_ran_without_an_error_or_a_warning(lab):
    cells = [cell for cell in lab.page.evaluate(CELLS) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell["outputs"]):
        assert output["output_type"] != "error" and output.get("name") != "stderr", output
    assert "Error displaying widget" not in lab.page.content()
    assert json.dumps(cells).count("application/vnd.jupyter.widget-view+json") >= 1


def test_the_slider_changes_the_picture(lab):
    lab.page.get_by_role("button", name="overlay", exact=True).click()
    lab.page.locator(".widget-slider .noUi-handle").first.focus()
    readout = lab.page.locator(".widget-slider .widget-readout").first
    before = readout.inner_text()
    lab.changes_picture(lambda: lab.page.keyboard.press("ArrowLeft"))
    assert readout.inner_text() != before


def test_the_views_change_the_picture(lab):
    for view in ("contours", "confidence", "mask", "overlay"):
        button = lab.page.get_by_role("button", name=view, exact=True)
        lab.changes_picture(button.click)


def test_parts_are_hidden_and_shown(lab):
    lab.page.get_by_role("button", name="mask", exact=True).click()
    box = lab.page.locator(".widget-checkbox", has_text="nose").locator("input")
    box.set_checked(True)
    lab.upload("face.png", encoded(astronaut()))
    lab.shows(lambda mask: mask.size == (190, 190) and blue_pixels(mask) > 200)
    box.uncheck()
    lab.shows(lambda mask: blue_pixels(mask) < 20)
    box.check()
    lab.shows(lambda mask: blue_pixels(mask) > 200)


def blue_pixels(picture):
    red, green, blue = (channel.histogram() for channel in picture.split())
    return sum(blue[200:]) - sum(red[200:])  # lips have as much red as blue


def test_menus_change_the_picture(lab):
    photo, model = (lab.page.locator(".widget-dropdown select").nth(i) for i in (0, 1))
    lab.changes_picture(lambda: photo.select_option(label="synthetic face 2"))
    other = "separable-synthetic" if model.input_value() == "unet" else "unet"
    lab.changes_picture(lambda: model.select_option(label=other))


def test_a_face_of_an_uploaded_photo_is_chosen(lab):
    group = Image.new("RGB", (600, 300), "lightsteelblue")
    group.paste(astronaut().resize((260, 260)), (20, 20))
    group.paste(ImageOps.mirror(astronaut()).resize((220, 220)), (340, 40))
    lab.page.get_by_role("button", name="mask", exact=True).click()
    lab.upload("group.png", encoded(group))

    def noses(mask):
        """Whether there is one in the left and in the right half."""
        return [blue_pixels(mask.crop((left, 0, left + 300, 300))) > 200 for left in (0, 300)]

    lab.shows(lambda mask: mask.size == (600, 300) and noses(mask) == [True, True])
    menu = lab.page.locator(".widget-dropdown select").nth(2)
    menu.select_option(label="face 2")
    lab.shows(lambda mask: noses(mask) == [False, True])
    menu.select_option(label="both faces")
    lab.shows(lambda mask: noses(mask) == [True, True])


def test_a_broken_upload_shows_a_message(lab):
    lab.upload("mine.png", encoded(ImageOps.mirror(astronaut()).resize((300, 300))))
    lab.shows(lambda picture: picture.size == (300, 300))
    assert lab.message() == ""
    before = lab.picture()
    lab.upload("holiday.png", b"these bytes are no photo")
    wait_for(lambda: "holiday.png is not an image" in lab.message(), 30, lab.message)
    assert lab.picture() == before
    lab.upload("holiday.png", encoded(astronaut()))
    lab.shows(lambda picture: picture.size == (190, 190))
    wait_for(lambda: lab.message() == "", 30, lab.message)


def test_the_mask_is_saved(lab, folder):
    lab.upload("to save.png", encoded(astronaut().resize((400, 400))))
    lab.shows(lambda picture: picture.size == (400, 400))
    lab.page.get_by_role("button", name="Save the mask").click()
    wait_for(lambda: "The mask was saved as segmentations" in lab.message(), 30, lab.message)
    (saved,) = (folder / "notebooks" / "segmentations").glob("to-save_*_mask.png")
    assert Image.open(saved).size == (400, 400)


@pytest.fixture
def page(lab):
    """Another tab of the browser."""
    page = lab.page.context.browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    yield page
    page.close()


def test_make_lab_opens_the_notebooks_and_links_to_other_files_work(page, address):
    page.goto(f"{address}?token={TOKEN}")
    page.locator(".jp-DirListing-itemText", has_text=LESSON).wait_for()
    for link, title in [("learning rate", "learning rate"), ("model card", "separable")]:
        page.goto(f"{address}/tree/notebooks/links.ipynb?token={TOKEN}&reset")
        page.locator(".jp-RenderedMarkdown a", has_text=link).click()
        heading = page.locator(".jp-MarkdownViewer :is(h1, h3)", has_text=title).first
        wait_for(lambda: is_at_the_top(heading), 60, page.title)  # noqa: B023


def is_at_the_top(element):
    box = element.bounding_box()
    return box is not None and 0 < box["y"] < 200


def test_the_browser_logged_no_errors(lab):
    assert lab.errors == []
