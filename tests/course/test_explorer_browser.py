"""The explorer in a browser, in JupyterLab and as a page of Voilà.

Screenshots are kept in build/screenshots/. Skipped without Chromium, or without Playwright.
"""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, FLAGS, HERE, server, wait_for
from damage import encoded
from PIL import Image

from facesegkit.course.explorer.photos import group_scene
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import render

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")
pytest.importorskip("voila")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

TOP = Path(__file__).parents[2]
APP = TOP / "facesegkit" / "course" / "explorer" / "app.ipynb"
SCREENSHOTS = TOP / "build" / "screenshots"
MODEL = "separable-open"
RUN_ALL = """() => window.jupyterapp.commands.execute("notebook:run-all-cells")"""
KERNEL_IS_IDLE = """() =>
    window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === "idle"
"""
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false",
           "checkForUpdates": False}}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "app.ipynb").write_text(APP.read_text(encoding="utf-8"), encoding="utf-8")
    overrides = folder / "jupyterlab_settings"
    overrides.mkdir()
    (overrides / "overrides.json").write_text(json.dumps(NO_NEWS))
    return folder


def lab_options(port):
    common = f"--no-browser --allow-root --expose-app-in-browser --ServerApp.port={port}"
    settings = "--LabApp.app_settings_dir=jupyterlab_settings --IdentityProvider.token="
    return [*common.split(), *settings.split()]


def voila_options(port):
    """The options of `make app`, for another port and a folder."""
    makefile = (TOP / "Makefile").read_text()
    recipe = re.search(r"^app:.*\n((?:\t.*\n)+)", makefile, re.M)[1].replace("\\\n", " ")
    limits = re.findall(r"--(?:Voila\.tornado|Mapping)\S+?=(?:'[^']*'|\S+)", recipe)
    assert len(limits) == 3
    limits = [limit.replace("'", "") for limit in limits]
    return ["app.ipynb", "--no-browser", f"--port={port}", *limits]


class Page:
    """The explorer in a browser."""

    def __init__(self, page, where):
        self.page, self.where, self.errors = page, where, []
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def alt(self):
        return self.page.locator("img.fsk-picture").first.get_attribute("alt") or ""

    def shows(self, *texts):
        wait_for(lambda: all(text in self.alt() for text in texts), 30, self.state)
        wait_for(lambda: not self.page.locator(".fsk-working").count(), 30, self.state)

    def state(self):
        notes = self.page.locator(".fsk-input .fsk-note").all_inner_texts()
        return f"{self.alt()!r} {self.message()!r} {notes} {self.errors}"

    def message(self):
        return " ".join(self.page.locator(".fsk-message").all_inner_texts())

    def upload(self, *files):
        wanted = [{"name": n, "mimeType": "image/png", "buffer": b} for n, b in files]
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload photos").click()
        chooser.value.set_files(wanted)

    def choose_photo(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()
        self.shows(f"{name}:")

    def choose_view(self, name):
        self.page.locator(".fsk-choice label", has_text=name).first.click()

    def download(self, name):
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=name, exact=True).click()
        return Path(download.value.path()).read_bytes(), download.value.suggested_filename

    def screenshot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(300)
        area = self.page.locator(".fsk-explorer").first
        area.screenshot(path=SCREENSHOTS / f"explorer-{self.where}-{name}.png")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["lab", "voila"])
def explorer(request, browser, folder):
    in_lab = request.param == "lab"
    options = lab_options if in_lab else voila_options
    module, path = ("jupyterlab", "/lab") if in_lab else ("voila", "/voila/static/main.js")
    with server(folder, module, options, path if in_lab else "/") as address:
        context = browser.new_context(
            viewport={"width": 1280, "height": 1100},
            permissions=["clipboard-read", "clipboard-write", "camera"],
        )
        made = Page(context.new_page(), request.param)
        if in_lab:
            made.page.goto(f"{address}/lab/tree/app.ipynb")
            made.page.wait_for_function(KERNEL_IS_IDLE, timeout=120_000)
            made.page.evaluate(RUN_ALL)
        else:
            made.page.goto(address)
        made.page.wait_for_selector("img.fsk-picture", timeout=120_000)
        made.shows("astronaut", "One face")
        yield made
        context.close()


@pytest.fixture
def group(explorer):
    explorer.choose_photo("group")
    explorer.shows("6 faces")
    return explorer


def test_a_photo_of_the_gallery_and_all_views(group):
    for view in ("original", "contours", "mask", "confidence", "overlay"):
        before = group.alt()
        group.choose_view(view)
        wait_for(lambda: group.alt() != before, 30, group.state)  # noqa: B023
        if view in ("confidence", "overlay"):
            group.screenshot(view)


def test_a_face_is_chosen_by_a_click_and_by_keyboard(group):
    group.page.get_by_role("button", name="Zoom to face 2").click()
    group.shows("Face 2 of 6")
    group.screenshot("face")
    group.page.get_by_role("button", name="Show the whole photo").press("Enter")
    group.shows("6 faces")
    group.page.get_by_label("Face", exact=True).select_option(label="face 5")
    group.shows("Face 5 of 6")
    group.page.get_by_label("Face", exact=True).select_option(label="the whole photo")


def test_hovering_shows_the_class_and_its_probability(group):
    face = group.page.get_by_role("button", name="Zoom to face 1").bounding_box()
    group.page.mouse.move(face["x"] + face["width"] / 2, face["y"] + 0.57 * face["height"])
    tip = group.page.locator(".fsk-tip").first
    wait_for(lambda: re.fullmatch(r"nose, \d+ %", tip.inner_text()), 10, tip.inner_text)


def test_two_models_are_compared(group):
    menu = group.page.get_by_label("Compare with")
    menu.select_option(label="unet-19")
    wait_for(lambda: group.page.locator("img.fsk-picture:visible").count() == 2, 30, group.state)
    wait_for(lambda: "F1 between" in group.page.content(), 30, group.state)
    group.screenshot("compare")
    group.choose_view("difference")
    group.shows("where the masks of two models differ")
    group.screenshot("difference")
    menu.select_option(label="nothing")
    group.shows("colours of the classes")


@pytest.fixture(scope="module")
def result():
    return FaceSegmenter(MODEL)(group_scene())


def test_downloads_are_what_python_gives(group, result):
    content, name = group.download("Mask")
    assert name == f"group_{MODEL}_mask.png"
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(render(result, "mask")))
    plain = json.loads(group.download("JSON")[0])
    assert len(plain["faces"]) == 6 and (plain["width"], plain["height"]) == result.photo.size
    with Image.open(io.BytesIO(group.download("Cut-out")[0])) as image:
        alpha = np.asarray(image)[..., 3]
    np.testing.assert_array_equal(alpha > 0, result.labels > 0)


def test_the_code_is_copied(group):
    group.page.get_by_role("button", name="Copy the code").click()
    copied = group.page.evaluate("() => navigator.clipboard.readText()")
    assert f"FaceSegmenter('{MODEL}')" in copied


def test_several_photos_of_several_megabytes_are_uploaded(explorer):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1000, 3), np.uint8)
    photos = [encoded(group_scene().resize((430, 300))), encoded(Image.fromarray(noise))]
    assert len(photos[1]) > 3_000_000  # several messages
    explorer.upload(("first.png", photos[0]), ("noise.png", photos[1]))
    explorer.shows("noise.png", "No face was found")
    wait_for(lambda: "No face was found" in explorer.message(), 30, explorer.state)
    explorer.choose_photo("first.png")
    explorer.shows("6 faces")


def test_a_wrong_file_is_answered_in_one_sentence(group):
    before = group.alt()
    group.upload(("holiday.png", b"these bytes are no photo"))
    wait_for(lambda: "holiday.png is not an image" in group.message(), 30, group.state)
    assert group.alt() == before


def test_a_picture_is_pasted_and_one_is_taken_by_the_camera(explorer):
    explorer.choose_photo("astronaut")
    copy = """async () => {
        const image = document.querySelector('.fsk-thumbnail[data-name="group"] img');
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        const blob = await new Promise(done => canvas.toBlob(done));
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }"""
    explorer.page.evaluate(copy)
    explorer.page.get_by_role("button", name="Paste", exact=True).click()
    explorer.shows("pasted.png")
    explorer.page.get_by_role("button", name="Camera").click()
    shoot = explorer.page.get_by_role("button", name="Take the picture")
    ready = "() => document.querySelector('.fsk-camera video')?.videoWidth > 0"
    explorer.page.wait_for_function(ready)
    shoot.click()
    explorer.shows("camera.jpg")


def test_every_control_has_a_name(explorer):
    names = """() => [...document.querySelectorAll(
            ".fsk-explorer :is(button, select, input, textarea, img)")]
        .filter(control => control.checkVisibility() && !control.closest("[aria-hidden=true]"))
        .filter(control => !(control.getAttribute("aria-label") || control.alt ||
            control.textContent.trim() || control.labels?.[0]?.textContent.trim() ||
            control.querySelector("img")?.alt))
        .map(control => control.outerHTML)"""
    assert explorer.page.evaluate(names) == []


def test_it_fits_400_pixels(group):
    page = group.page
    page.set_viewport_size({"width": 400, "height": 1500})
    page.wait_for_timeout(500)
    if group.where == "voila":
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 400
        group.screenshot("400")
    page.set_viewport_size({"width": 1280, "height": 1100})


def test_in_dark_theme(group):
    if group.where == "lab":
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
        group.page.evaluate(change, "JupyterLab Dark")
    else:
        group.page.goto(group.page.url.split("?")[0] + "?theme=dark")
        group.page.wait_for_selector("img.fsk-picture", timeout=120_000)
        group.shows("astronaut", "One face")
        group.choose_photo("group")
    group.page.wait_for_timeout(1500)
    colours = """() => {
        const style = getComputedStyle(document.querySelector(".fsk-explorer"));
        return style.color.match(/\\d+/g).map(Number).reduce((a, b) => a + b);
    }"""
    assert group.page.evaluate(colours) > 300  # light letters
    group.screenshot("dark")


def test_the_browser_logged_no_errors(explorer):
    assert [e for e in explorer.errors if HERE not in e] == []
