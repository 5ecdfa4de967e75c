"""Lesson 6 runs in JupyterLab in a browser, and links between files work.

Skipped without Chromium, or without Playwright to control it.
"""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from browser import CHROMIUM, FLAGS, HERE, server, wait_for

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")

TOP = Path(__file__).parents[2]
LESSON = "06-segment-your-own-photos.ipynb"
GLOSSARY, CARD = "notebooks/glossary.md", "facesegkit/weights/separable.md"
LINKS = f"[learning rate](glossary.md#learning-rate), [model card](../{CARD})"
TOKEN = "test"

EMPTY_IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'

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

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


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

    def options(port):
        own = "--no-browser --allow-root --expose-app-in-browser --ServerApp.port_retries=0"
        own += f" --ServerApp.port={port} --IdentityProvider.token={TOKEN}"
        return [*options_of_make_lab(), *own.split()]

    with server(folder, "jupyterlab", options, "/api") as started:
        yield f"{started}/lab"


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


@pytest.fixture(scope="module")
def lab(address):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        lab = Lab(browser.new_page(viewport={"width": 1400, "height": 1000}))
        lab.run_all(address)
        yield lab
        browser.close()


def test_all_cells_ran_without_an_error_or_a_warning(lab):
    cells = [cell for cell in lab.page.evaluate(CELLS) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell["outputs"]):
        assert output["output_type"] != "error" and output.get("name") != "stderr", output
    assert "Error displaying widget" not in lab.page.content()
    assert json.dumps(cells).count("application/vnd.jupyter.widget-view+json") >= 1


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
