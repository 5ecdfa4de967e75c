"""Links of the notebooks and the documentation lead somewhere, in JupyterLab and on GitHub."""

import re
from pathlib import Path

import pytest
from exercise_cells import SOLUTIONS, read

TOP = Path(__file__).parents[2]
NOTEBOOKS = TOP / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
GLOSSARY = NOTEBOOKS / "glossary.md"
PAGES = [*LESSONS, *SOLUTIONS, *NOTEBOOKS.glob("exercises/*.ipynb"), *NOTEBOOKS.glob("*.md")]
PAGES += [TOP / "README.md", *TOP.glob("docs/*.md")]

LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(path):
    """The Markdown of a page, without blocks of code."""
    if path.suffix == ".ipynb":
        cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    else:
        text = path.read_text(encoding="utf-8")
    return FENCED.sub("", text)


def links_of(path):
    """Links of a page to other files of the project, each as (path, fragment or "")."""
    for link in LINK.findall(text_of(path)):
        if not re.match(r"[a-z]+:", link):
            target, _, fragment = link.partition("#")
            yield target, fragment


def anchors_of(path):
    """Fragments that GitHub gives to the headings of a page."""
    headings = HEADING.findall(text_of(path).lower())
    return {re.sub(r"[^\w\s-]", "", heading).strip().replace(" ", "-") for heading in headings}


def glossary_entries():
    return re.findall(r"^### (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)


def glossary_links():
    """Fragments of the glossary that the lessons link to."""
    links = (link for lesson in LESSONS for link in links_of(lesson))
    return {fragment for target, fragment in links if target == GLOSSARY.name}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for target, fragment in links_of(page):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} does not exist"
        # `make lab` serves the project's folder, and JupyterLab hides names that start with a dot.
        parts = path.relative_to(TOP).parts
        assert not any(part.startswith(".") for part in parts), target
        assert not fragment or fragment in anchors_of(path), f"{target} has no #{fragment}"


def test_what_counts_as_a_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# The *first* one: a test\n[a](b.md#c) ![d](../e.png) [f](https://g.h/i) [j](#k)\n"
        "```\n# no heading [no link](x.md)\n```\n"
    )
    assert list(links_of(page)) == [("b.md", "c"), ("../e.png", ""), ("", "k")]
    assert anchors_of(page) == {"the-first-one-a-test"}


def test_headings_of_the_glossary_are_in_order_and_the_same_anchors_everywhere():
    """JupyterLab keeps capitals and punctuation, GitHub does not, so there are none."""
    entries = glossary_entries()
    assert entries == sorted(entries) and len(set(entries)) == len(entries)
    assert all(re.fullmatch(r"[a-z0-9]+([ -][a-z0-9]+)*", entry) for entry in entries)


def test_lessons_link_to_entries_of_the_glossary_that_exist():
    missing = glossary_links() - {entry.replace(" ", "-") for entry in glossary_entries()}
    assert not missing


def test_every_entry_of_the_glossary_is_linked_from_a_lesson():
    unlinked = {entry.replace(" ", "-") for entry in glossary_entries()} - glossary_links()
    assert not unlinked, ", ".join(sorted(unlinked))
