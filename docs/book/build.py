"""Build the course and its documentation as a static site: `make book`, or

    python docs/book/build.py                      # writes build/book/

The notebooks and Markdown files stay where they are. A mirror of them, in build/book-source/, is
what Sphinx reads: links to files that are no page of the book are changed there, launch badges
left out, solutions folded, and the generated pages added.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from facesegkit.errors import FaceSegKitError

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]


def build(site: Path, source: Path, repository: str | None = None) -> None:
    """Write the site into an empty folder; raises a FaceSegKitError if Sphinx warns or fails.

    `repository` is the address for launch buttons and links to source files, "" for none; if it is
    not given, that in pyproject.toml.
    """
    if sys.version_info < (3, 11):
        raise FaceSegKitError("The book needs Python 3.11 or newer: `make book PYTHON=python3.12`.")
    from mirror import write_mirror  # the script's own folder is on the path

    if repository is None:
        repository = repository_address()
    for folder in (site, source):
        shutil.rmtree(folder, ignore_errors=True)
    write_mirror(TOP, source, repository)
    run_sphinx(source, site, repository)
    drop_dead_weight(site)


def run_sphinx(source: Path, site: Path, repository: str = "") -> None:
    """Write the pages in `source` to `site`; raises a FaceSegKitError at any warning."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    command += ["-D", f"html_context.repository={repository}"] if repository else []
    command += ["-c", str(HERE), "-d", str(source.with_name(f"{source.name}-cache"))]
    if subprocess.run([*command, str(source), str(site)]).returncode:
        raise FaceSegKitError("The book was not built; the warnings above say where to look.")


def drop_dead_weight(site: Path) -> None:
    """Remove what no page loads: source maps, translations, templates, Sphinx's own records."""
    for folder in ("_sources", "_static/locales"):
        shutil.rmtree(site / folder, ignore_errors=True)
    for path in [*site.rglob("*.map"), *site.glob("_static/*.html"), site / ".buildinfo"]:
        path.unlink(missing_ok=True)


def repository_address() -> str:
    """Address of the project in pyproject.toml, or "" if it has none."""
    import tomllib  # from Python 3.11

    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in project.get("urls", {}).items()}
    return str(urls.get("repository", "")).rstrip("/").removesuffix(".git")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TOP / "build" / "book", help="the site")
    out = parser.parse_args().out.resolve()
    try:
        build(out, out.with_name(f"{out.name}-source"))
    except FaceSegKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(out / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
