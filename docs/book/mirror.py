"""A copy of the notebooks and Markdown files, changed where the book needs it."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "docs/*.md",
    "benchmarks/recipe_notes.md",
    "figures/portraits/CREDITS.md", "notebooks/*.md", "notebooks/*.ipynb",
    "notebooks/exercises/*.ipynb", "notebooks/solutions/*.ipynb", "facesegkit/weights/*.md",
)  # fmt: skip
# A link or an image: the text may contain one image, as in a badge.
_LINK = re.compile(
    r"(?P<text>!?\[(?:[^\[\]]|!?\[[^\]]*\]\([^)]*\)|\[[^\]]*\])*\])\((?P<to>[^()\s]+)\)"
)
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_BOX = re.compile(r"^> \*\*(Note|Tip|Warning)\.\*\* (.*(?:\n>.*)*)", re.MULTILINE)
_BADGE = re.compile(r"^\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\s*?$\n?", re.MULTILINE)

Notebook = dict[str, Any]  # parsed JSON


def write_mirror(top: Path, source: Path, repository: str = "") -> None:
    """Copy the pages of the project `top` to the folder `source`, ready for Sphinx."""
    pages = [path for pattern in PAGES for path in sorted(top.glob(pattern))]
    links = _Links(top, source, set(pages), repository)
    for page in pages:
        copy = source / page.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = page.read_text(encoding="utf-8")
        change = _notebook if page.suffix == ".ipynb" else _markdown
        copy.write_text(change(text, page, links), encoding="utf-8")
    for page in (top / "docs" / "book").glob("*.md"):
        shutil.copy(page, source / page.name)
    lessons = sorted((top / "notebooks").glob("*.ipynb"))
    (source / "api-lessons.md").write_text(lesson_api(lessons), encoding="utf-8")
    _add_live_page(top / "docs" / "live", source)


class _Links:
    """Changes links to what is no page of the book."""

    def __init__(self, top: Path, source: Path, pages: set[Path], repository: str) -> None:
        self.top, self.source, self.pages, self.repository = top, source, pages, repository

    def change(self, text: str, page: Path) -> str:
        """Markdown of a page with all of its links changed, but none within code."""
        done, parts = 0, []
        for code in _CODE.finditer(text):
            # A link's text may be code, so only blocks end the search.
            if code[0].startswith("```"):
                parts += [self._change(text[done : code.start()], page), code[0]]
                done = code.end()
        return "".join([*parts, self._change(text[done:], page)])

    def _change(self, text: str, page: Path) -> str:
        return _LINK.sub(lambda found: self._one(found["text"], found["to"], page), text)

    def _one(self, text: str, to: str, page: Path) -> str:
        target, _, fragment = to.partition("#")
        unchanged = f"{text}({to})"
        if not target or re.match(r"[a-z]+:", to):
            return unchanged
        path = Path(os.path.normpath(page.parent / target))
        if path in self.pages or not path.exists() or not path.is_relative_to(self.top):
            return unchanged
        if path / "README.md" in self.pages:
            return f"{text}({target.rstrip('/')}/README.md)"
        inside = path.relative_to(self.top)
        if self.repository and not text.startswith("!"):
            kind = "tree" if path.is_dir() else "blob"
            return f"{text}({self.repository}/{kind}/main/{inside.as_posix()})"
        if path.is_dir() or path.suffix in (".md", ".ipynb"):  # a copy would become a page
            return text[1:-1]
        copy = self.source / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)  # Sphinx offers it as a download
        return unchanged


def _markdown(text: str, page: Path, links: _Links) -> str:
    return links.change(_BOX.sub(_admonition, _BADGE.sub("", text)), page)


def _admonition(box: re.Match[str]) -> str:
    """A block quotation that starts with **Note.** as Sphinx writes it.

    The notebooks have quotations, which every viewer shows as boxes.
    """
    text = re.sub(r"^> ?", "", box[2], flags=re.MULTILINE)
    return f"::::{{{box[1].lower()}}}\n{text}\n::::"


def _notebook(text: str, page: Path, links: _Links) -> str:
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if page.parent.name == "solutions" and cell is notebook["cells"][0]:
                source = source.replace(", exercises:", ", solutions:", 1)
            source = _markdown(source, page, links)
            if "solution" in tags:
                source = f"<details>\n<summary>Solution</summary>\n\n{source}\n\n</details>"
        elif page.parent.name == "solutions" and "exercise" in tags:
            cell["metadata"]["tags"] = [*tags, "hide-input"]
            cell["metadata"]["mystnb"] = {"code_prompt_show": "Show the solution",
                                          "code_prompt_hide": "Hide the solution"}  # fmt: skip
        cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False)


def imported_names(lessons: Iterable[Path]) -> dict[str, list[str]]:
    """Public names that the lessons import from the package, for each module."""
    names: dict[str, set[str]] = defaultdict(set)
    for lesson in lessons:
        cells: Notebook = json.loads(lesson.read_text(encoding="utf-8"))
        for cell in cells["cells"]:
            if cell["cell_type"] == "code":
                # Magics are no Python.
                lines = [
                    line for line in cell["source"] if not line.lstrip().startswith(("%", "!"))
                ]
                for module, name in _imports("".join(lines)):
                    names[module].add(name)
    return {module: sorted(names[module]) for module in sorted(names)}


def _imports(code: str) -> Iterable[tuple[str, str]]:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # what was left of an `if` around a magic
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facesegkit."):
            yield from ((str(node.module), alias.name) for alias in node.names)


def lesson_api(lessons: Iterable[Path]) -> str:
    """Page with the functions and classes that the lessons import, from their docstrings."""
    lines = ["# What the lessons import", "", "The names of `facesegkit` are in [](api.md).", ""]
    for module, names in imported_names(lessons).items():
        if public := _documented(module, names):
            lines += [f"## {module}", "", "```{eval-rst}"]
            for directive, name in public:
                lines += [
                    f".. {directive}:: {module}.{name}",
                    "   :members:" * (directive == "autoclass"),
                    "",
                ]
            lines += ["```", ""]
    return "\n".join(lines)


def _documented(module: str, names: list[str]) -> list[tuple[str, str]]:
    import importlib
    import inspect

    import facesegkit

    found = []
    for name in names:
        thing = getattr(importlib.import_module(module), name, None)
        if name in facesegkit.__all__ or not getattr(thing, "__doc__", None):
            continue  # it has its place on the other page
        if inspect.isclass(thing):
            found.append(("autoclass", name))
        elif inspect.isfunction(thing):
            found.append(("autofunction", name))
    return found


def _add_live_page(live: Path, source: Path) -> None:
    """The live page as its own script makes it, for live/ of the site, and a page that opens it."""
    if not (live / "build.py").exists():
        return
    (source / "extra").mkdir()
    runpy.run_path(str(live / "build.py"))["build"](source / "extra" / "live")
    text = '# Live in your browser\n\n<a href="live/index.html">Open the live page</a>: masks '
    text += "of your own photo or camera, at once. Nothing is uploaded.\n"
    (source / "live-page.md").write_text(text, encoding="utf-8")
    index = source / "index.md"
    before, after = index.read_text(encoding="utf-8").split("notebooks/README\n", 1)
    entries = "notebooks/README\nLive in your browser <live-page>\n"
    index.write_text(before + entries + after, encoding="utf-8")
