"""The book builds without warnings, its links lead somewhere, and it loads only its own files."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx_book_theme")
if sys.version_info < (3, 11):
    pytest.skip("the book needs Python 3.11", allow_module_level=True)

TOP = Path(__file__).parents[2]
ADDRESS = "https://example.org/face/parsing"
BUTTONS = re.compile(r"mybinder\.org|colab\.research")


@pytest.fixture(scope="module")
def builder():
    sys.path.insert(0, str(TOP / "docs" / "book"))
    import build

    yield build
    sys.path.remove(str(TOP / "docs" / "book"))


@pytest.fixture(scope="module")
def site(builder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    builder.build(folder / "site", folder / "source", repository="")
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    paths = [path for path in site.rglob("*.html") if "live" not in path.relative_to(site).parts]
    return {path.resolve(): path.read_text(encoding="utf-8") for path in paths}


def test_links_lead_to_files_and_anchors_that_exist(pages):
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    for page, text in pages.items():
        for link in re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', text):
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), (page.name, link)
            if parts.fragment and target in anchors:
                assert unquote(parts.fragment) in anchors[target], (page.name, link)


def test_pages_load_nothing_from_elsewhere(site, pages):
    loaded = re.compile(
        r'<(?:script|img|iframe)\b[^>]*?\bsrc="((?:https?:)?//[^"]*)'
        r'|<link\b(?![^>]*rel="canonical")[^>]*?\bhref="((?:https?:)?//[^"]*)'
    )
    for page, text in pages.items():
        assert not loaded.findall(text), page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_site_is_light(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 25e6
    assert not list(site.rglob("*.map")) and not (site / "_sources").exists()
    for notebook in TOP.glob("notebooks/**/*.ipynb"):
        assert notebook.stat().st_size <= 600_000, notebook


def test_answers_and_solutions_are_folded(site):
    lesson = (site / "notebooks/04-train-on-a-cpu.html").read_text(encoding="utf-8")
    solution = (site / "notebooks/solutions/04-train-on-a-cpu.html").read_text(encoding="utf-8")
    assert "<summary>Answer</summary>" in lesson
    assert "Show the solution" in solution and "<details open" not in solution


def test_launch_buttons_need_the_address_of_the_project(pages, builder, tmp_path):
    assert not [page for page, text in pages.items() if BUTTONS.search(text)]
    builder.build(tmp_path / "site", tmp_path / "source", repository=ADDRESS)
    lesson = (tmp_path / "site/notebooks/04-train-on-a-cpu.html").read_text(encoding="utf-8")
    assert BUTTONS.search(lesson) and "notebooks/04-train-on-a-cpu.ipynb" in lesson
