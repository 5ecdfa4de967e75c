"""Write the badges that open a notebook in Colab or Binder into all notebooks.

    python notebooks/launch_badges.py          # after a change of project.urls
    python notebooks/launch_badges.py --check  # status 1 if something differs

With them comes Colab's installation in the first code cell. The repository's
address stands in pyproject.toml alone, as `Repository` of `project.urls`.
Without it there are no badges: a dead badge is worse than none. Run
make_exercises.py afterwards.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from facesegkit.system.files import atomic_write

Notebook = dict[str, Any]  # parsed JSON

TOP = Path(__file__).parents[1]

COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{path}"
BINDER = "https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{path}"
LINKS = {"Colab": COLAB, "Binder": BINDER}
INSTALL = """\
import importlib.util
import sys

IN_COLAB = "google.colab" in sys.modules
if IN_COLAB and importlib.util.find_spec("facesegkit") is None:
    SOURCE = "git+{address}"
    %pip install -q "facesegkit[course] @ {{SOURCE}}"
"""

_BADGES = re.compile(r"(?:^\[!\[Open in .*\n?)+\n*", re.MULTILINE)
_INSTALL = re.compile(r"\Aimport .*\n(?:(?! *%pip).*\n)* *%pip .*\n*")


def repository_address(pyproject: str) -> str:
    """`Repository` of `project.urls` in the text of a pyproject.toml, or "".

    Read without tomllib, which Python 3.10 lacks.
    """
    section = re.search(
        r"^\[project\.urls\]\n((?:(?!\[).*\n?)*)", pyproject, re.MULTILINE
    )
    found = section and re.search(
        r'^Repository *= *"(.+)"', section[1], re.MULTILINE
    )
    return found[1].rstrip("/") if found else ""


def with_badges(notebook: Notebook, path: str, address: str) -> Notebook:
    """The notebook at `path` in the repository, as its address allows."""
    cells = list(notebook["cells"])
    title, setup = 0, [cell["cell_type"] for cell in cells].index("code")
    _change(cells, title, lambda text: _with_badges(text, path, address))
    _change(cells, setup, lambda code: _with_installation(code, address))
    return {**notebook, "cells": cells}


def _change(
    cells: list[Notebook], index: int, change: Callable[[str], str]
) -> None:
    source = change("".join(cells[index]["source"]))
    source_lines = source.splitlines(keepends=True)
    cells[index] = {**cells[index], "source": source_lines}


def _with_badges(text: str, path: str, address: str) -> str:
    """The first cell's text with badges below its first line, the title."""
    heading, _, rest = _BADGES.sub("", text).partition("\n")
    if not address:
        return f"{heading}\n{rest}"
    repository = urlsplit(address).path.strip("/").removesuffix(".git")
    place = {"repository": repository, "path": path}
    figures = "../" * path.count("/") + "figures"
    badges = [
        f"[![Open in {name}]({figures}/open-in-{name.lower()}.svg)]"
        f"({link.format(**place)})"
        for name, link in LINKS.items()
    ]
    return "\n".join([heading, "", *badges, rest])


def _with_installation(code: str, address: str) -> str:
    rest = _INSTALL.sub("", code)
    return f"{INSTALL.format(address=address)}\n{rest}" if address else rest


def update(top: Path, check: bool = False) -> list[Path]:
    """Update lessons and solutions, or only look; return those that differ."""
    settings = (top / "pyproject.toml").read_text(encoding="utf-8")
    address = repository_address(settings)
    paths = [
        path
        for folder in ("notebooks", "notebooks/solutions")
        for path in sorted((top / folder).glob("*.ipynb"))
    ]
    different = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(top).as_posix()
        notebook = with_badges(json.loads(text), name, address)
        changed = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        if changed != text:
            different.append(path)
            if not check:
                with atomic_write(path) as unfinished:
                    unfinished.write_text(
                        changed, encoding="utf-8", newline="\n"
                    )
    return different


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    different = update(TOP, check)
    print(*different, sep="\n")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
