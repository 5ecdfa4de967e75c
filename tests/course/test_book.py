"""The book builds without warnings, its links lead somewhere, and it loads only its own files."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from facesegkit.errors import FaceSegKitError

TOP = Path(__file__).parents[2]
BOOK = TOP / "docs" / "book"
LESSON = "notebooks/04-train-on-a-cpu"
ADDRESS = "https://github.com/someone/some-faces"
ELSEWHERE = re.compile(r"(?:https?:)?//")


class Page(HTMLParser):
    """What a page of the site links to, loads, folds and names."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.add(values.get("id"))
        if tag == "a":
            self.links.append(values.get("href") or "#")
        elif tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(values["href"])
        self.loaded += [values[name] for name in ("src", "srcset", "poster") if values.get(name)]


@pytest.fixture(scope="module")
def builder():
    sys.path.insert(0, str(BOOK))
    import build

    yield build
    sys.path.remove(str(BOOK))


@pytest.fixture(scope="module")
def needs_sphinx():
    if sys.version_info < (3, 11):
        pytest.skip("the book needs Python 3.11")
    pytest.importorskip("sphinx_book_theme")


@pytest.fixture(scope="module")
def site(builder, needs_sphinx, tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    builder.build(folder / "site", folder / "source", repository="")  # a warning fails
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_links_lead_to_files_and_anchors_that_exist(pages):
    wrong = set()
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                wrong.add((path.name, link))
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].anchors:
                    wrong.add((path.name, link))
    assert len(pages) > 40 and not wrong


def test_pages_load_nothing_from_elsewhere(site, pages):
    for path, page in pages.items():
        for address in page.loaded:
            assert not ELSEWHERE.match(address), (path, address)
            if address != "#" and not address.startswith("data:"):
                assert (path.parent / unquote(urlsplit(address).path)).is_file(), (path, address)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", text), style


def test_the_site_and_the_notebooks_are_light(site):
    sizes = {path: path.stat().st_size for path in site.rglob("*") if path.is_file()}
    live = sum(size for path, size in sizes.items() if path.is_relative_to(site / "live"))
    assert sum(sizes.values()) < 25e6 and sum(sizes.values()) - live < 12e6
    for notebook in TOP.glob("notebooks/**/*.ipynb"):
        assert notebook.stat().st_size <= 600_000, notebook


def test_set_up_answers_and_solutions_are_folded(pages, site):
    lesson = pages[site / f"{LESSON}.html"].text
    notebook = json.loads((TOP / f"{LESSON}.ipynb").read_text(encoding="utf-8"))
    tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"]]
    set_up = [cell for cell in tags if "hide-input" in cell]
    assert set_up and lesson.count("Show the set-up") == len(set_up)
    assert lesson.count("<summary>Answer</summary>") >= 4
    solutions = pages[site / "notebooks/solutions/04-train-on-a-cpu.html"].text
    assert solutions.count("Show the solution") >= 4
    for path, page in pages.items():
        assert "<details open" not in page.text.partition("bd-article")[2], path


def test_admonitions_are_no_plain_text(pages, site):
    assert not [path for path, page in pages.items() if ":::" in page.text]
    lesson = pages[site / f"{LESSON}.html"].text
    assert 'class="admonition note"' in lesson and "<strong>Note.</strong>" not in lesson


def test_without_an_address_there_are_no_launch_buttons(pages):
    services = re.compile(r"mybinder\.org|colab\.research")
    assert not [path for path, page in pages.items() if any(map(services.search, page.links))]


def test_with_an_address_each_notebook_has_launch_buttons(builder, needs_sphinx, tmp_path):
    (tmp_path / "source/notebooks").mkdir(parents=True)
    (tmp_path / "source/index.md").write_text("# A book\n\n```{toctree}\nnotebooks/exercise\n```\n")
    notebook = TOP / "notebooks/exercises/05-evaluate.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))
    cells["cells"] = [{"cell_type": "markdown", "metadata": {}, "source": ["# An exercise"]}]
    (tmp_path / "source/notebooks/exercise.ipynb").write_text(json.dumps(cells))
    builder.run_sphinx(tmp_path / "source", tmp_path / "site", ADDRESS)
    links = Page(tmp_path / "site/notebooks/exercise.html").links
    colab = "https://colab.research.google.com/github/someone/some-faces/blob/main"
    assert f"{colab}/notebooks/exercise.ipynb" in links
    binder = "https://mybinder.org/v2/gh/someone/some-faces/main?urlpath="
    assert [
        link for link in links if link.startswith(binder) and "notebooks/exercise.ipynb" in link
    ]


def test_the_first_page_says_how_many_notebooks_and_hours():
    table = (TOP / "README.md").read_text(encoding="utf-8").split("<!-- lessons -->")[1]
    minutes = [int(number) for number in re.findall(r"\| (\d+) \|$", table, re.MULTILINE)]
    numbers = dict(enumerate("zero one two three four five six seven eight nine ten".split()))
    first = " ".join((BOOK / "index.md").read_text(encoding="utf-8").split())
    count, hours = numbers[len(minutes)].title(), numbers[round(sum(minutes) / 60)]
    assert f"{count} notebooks, about {hours} hours" in first


def test_an_old_python_is_named_in_one_sentence(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(builder.sys, "version_info", (3, 10, 14))
    with pytest.raises(FaceSegKitError, match=r"needs Python 3\.11 or newer"):
        builder.build(tmp_path / "site", tmp_path / "source")
    assert not list(tmp_path.iterdir())
