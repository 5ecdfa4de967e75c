"""Do the tests pass elsewhere: in other Pythons, folders, orders, on lesser processors?

    python benchmarks/everywhere.py                          all of the circumstances below
    python benchmarks/everywhere.py --only "one core"        some of them
    python benchmarks/everywhere.py --python python3.13      another Python, in an environment of
                                                             its own (PIP_ARGS goes to pip)
    python benchmarks/everywhere.py --python python3.13 --without-torch

What was committed last is tried, in a folder whose name has spaces. Tests that measure time are
left out. Results are added to benchmarks/results/everywhere.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from suite import Ended, run_tests

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "everywhere.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# What `pip install facesegkit` brings, and what its tests need.
WITHOUT_TORCH = ("numpy", "pillow", "onnxruntime", "av")
SEGMENTING = (
    "photos", "upscaling", "outlines", "faces", "segmentation", "looking", "segment",
)  # fmt: skip
TESTERS = ("hypothesis", "pytest", "pytest-xdist", "scikit-learn", "setuptools")


class NotHereError(Exception):
    """This machine lacks what a circumstance needs."""


@dataclass
class Circumstance:
    """How the tests are run; each of the functions below changes one of these."""

    project: Path
    room: Path  # a folder for whatever is needed
    python: str = sys.executable
    before: Sequence[str] = ()  # what starts Python
    parallel: Sequence[str] = ("-n", "2", "--dist", "loadfile")
    tests: Sequence[str] = ("tests",)
    env: dict[str, str] = field(default_factory=dict)

    def run(self) -> list[Ended]:
        """Run the tests, and tell how each of them ended."""
        paths = [str(self.project), self.env.pop("PYTHONPATH", "")]
        return run_tests(
            [
                *self.before, self.python, "-m", "pytest", "-q", *self.parallel,
                "-m", "not alone", "-p", "no:cacheprovider", *self.tests,
            ],
            self.project,
            {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **self.env},
        )  # fmt: skip


def any_order(here: Circumstance) -> None:
    """pytest-randomly shuffles modules, and the tests in them."""
    plugin = here.room / "randomly"
    pip = [here.python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(plugin)]
    subprocess.run([*pip, "pytest-randomly==5.1.0"], check=True)
    here.env["PYTHONPATH"] = str(plugin)


def one_core(here: Circumstance) -> None:
    """All processes share one core."""
    _need("taskset")
    here.before = ("taskset", "-c", "0")
    here.parallel = ()


def old_processor(here: Circumstance) -> None:
    """No AVX512, and no AVX2 either, as far as the libraries can be told so."""
    here.env |= {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def processor_of_2008(here: Circumstance) -> None:
    """Emulated, without AVX: what segments photos, but for what it starts in other processes."""
    _need("qemu-x86_64")  # Debian's qemu-user
    here.before = ("qemu-x86_64", "-cpu", "Nehalem")
    here.parallel = ()
    here.tests = [f"tests/test_{name}.py" for name in SEGMENTING]


def no_browser(here: Circumstance) -> None:
    """Everything that can be started, but for browsers."""
    links = here.room / "bin"
    links.mkdir()
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.name not in BROWSERS and not (links / file.name).exists():
                (links / file.name).symlink_to(file)
    here.env["PATH"] = str(links)


def read_only(here: Circumstance) -> None:
    """Another user, who may only read the project."""
    _need("setpriv")
    if os.geteuid() != 0:
        raise NotHereError("only root can become another user")
    here.room.chmod(0o755)
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(here.project)], check=True)
    own = here.room / "own"
    own.mkdir()
    shutil.chown(own, "nobody")
    here.before = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    start_itself = "import subprocess, sys; subprocess.run([sys.executable, '-V'], check=True)"
    command = [*here.before, here.python, "-c", start_itself]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise NotHereError(f"nobody else may run {here.python}")
    here.env |= {"HOME": str(own), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}


def without_torch(here: Circumstance, python: str = sys.executable) -> None:
    """What `pip install facesegkit` brings, and no more."""
    pins = (here.project / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = (*WITHOUT_TORCH, *TESTERS)
    _environment(here, python, [pin for pin in pins if pin.split("=")[0] in names])


def oldest_packages(here: Circumstance) -> None:
    """The oldest packages that pyproject.toml allows, without PyTorch."""
    allowed = (here.project / "pyproject.toml").read_text(encoding="utf-8")
    oldest = [
        f"{name}=={version}"
        for name, version in re.findall(r'"([a-z]+)>=([0-9.]+)"', allowed)
        if name in WITHOUT_TORCH
    ]
    _environment(here, sys.executable, [*oldest, *TESTERS])


def another_python(here: Circumstance, python: str) -> None:
    """All packages that requirements.txt lists, for this version."""
    _environment(here, python, (here.project / "requirements.txt").read_text().splitlines())


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise NotHereError(f"there is no {program}")


def _environment(here: Circumstance, python: str, wanted: Sequence[str]) -> None:
    folder = here.room / "environment"
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    here.python = str(folder / "bin" / "python")
    file = here.room / "wanted.txt"
    file.write_text("\n".join(wanted), encoding="utf-8")
    more = shlex.split(os.environ.get("PIP_ARGS", ""))
    pip = [here.python, "-m", "pip", "install", "--quiet", *more]
    subprocess.run([*pip, "-r", str(file)], check=True)
    subprocess.run([*pip, "--no-deps", str(here.project)], check=True)  # for its metadata


CIRCUMSTANCES: dict[str, Callable[[Circumstance], None]] = {
    "any order": any_order,
    "one core": one_core,
    "old processor": old_processor,
    "processor of 2008": processor_of_2008,
    "no browser": no_browser,
    "read only": read_only,
    "without torch": without_torch,
    "oldest packages": oldest_packages,
}


def attempt(arrange: Callable[[Circumstance], None]) -> dict[str, Any]:
    """Run the tests in a circumstance, and count."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "face seg kit")
        subprocess.run(["git", "clone", "--quiet", str(HERE.parent), str(project)], check=True)
        here = Circumstance(project, Path(folder))
        arrange(here)
        version = version_of(here.python)
        ended = here.run()
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    counts = Counter(test.result for test in ended)
    about = getattr(arrange, "func", arrange).__doc__ or ""
    return {
        "about": about.splitlines()[0],
        "python": version.split()[1],
        "system": f"{platform.system()} {platform.machine()}",
        **counts,
        "not passed": sorted(
            test.name for test in ended if test.result not in ("passed", "skipped")
        ),
    }


def version_of(python: str) -> str:
    """Such as "Python 3.13.0"."""
    return subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=CIRCUMSTANCES, help="one of them")
    parser.add_argument("--python", help="another Python, and nothing else")
    parser.add_argument("--without-torch", action="store_true", help="in that Python")
    options = parser.parse_args()
    wanted = {name: CIRCUMSTANCES[name] for name in options.only or CIRCUMSTANCES}
    if options.python and options.without_torch:
        name = f"{version_of(options.python)} without torch"
        wanted = {name: partial(without_torch, python=options.python)}
    elif options.python:
        wanted = {version_of(options.python): partial(another_python, python=options.python)}
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = False
    for name, arrange in wanted.items():
        try:
            results[name] = attempt(arrange)
        except NotHereError as error:
            print(f"{name}: left out, since {error}")
            continue
        failed |= bool(results[name]["not passed"])
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
