"""Runs the tests in other environments: other Pythons, older processors, any order, read-only.

    python benchmarks/environments.py                        all environments below
    python benchmarks/environments.py --only "one core"      one of them
    python benchmarks/environments.py --python python3.13    another Python, in a virtual
                                                             environment (PIP_ARGS goes to pip)
    python benchmarks/environments.py --python python3.13 --without-torch

The last commit is tested, in a folder whose name has spaces, without the tests that measure time.
Results are added to benchmarks/results/environments.json.
"""

import argparse
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

from common import TOP, TestResult, load_results, run_tests, save_results

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# What `pip install facesegkit` installs, and what its tests need.
WITHOUT_TORCH = ("numpy", "pillow", "onnxruntime", "tqdm", "av")
TESTERS = ("hypothesis", "pytest", "pytest-xdist", "scikit-learn", "setuptools")


class UnavailableError(Exception):
    """This machine lacks what an environment needs."""


@dataclass
class Environment:
    """How the tests are run; each of the functions below modifies one of these."""

    project: Path
    folder: Path  # for whatever is needed
    python: str = sys.executable
    prefix: Sequence[str] = ()  # of the command line
    parallel: Sequence[str] = ("-n", "2", "--dist", "loadfile")
    tests: Sequence[str] = ("tests",)
    env: dict[str, str] = field(default_factory=dict)

    def run(self) -> list[TestResult]:
        """Run the tests and return their results."""
        path = os.pathsep.join(filter(None, [str(self.project), self.env.pop("PYTHONPATH", "")]))
        command = [*self.prefix, self.python, "-m", "pytest", "-q", *self.parallel]
        command += ["-m", "not alone", "-p", "no:cacheprovider", *self.tests]
        return run_tests(command, self.project, {**os.environ, "PYTHONPATH": path, **self.env})


def any_order(here: Environment) -> None:
    """pytest-randomly shuffles modules and the tests in them."""
    plugin = here.folder / "randomly"
    pip = [here.python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(plugin)]
    subprocess.run([*pip, "pytest-randomly==5.1.0"], check=True)
    here.env["PYTHONPATH"] = str(plugin)


def one_core(here: Environment) -> None:
    """All processes share one core."""
    _need("taskset")
    here.prefix, here.parallel = ("taskset", "-c", "0"), ()


def old_processor(here: Environment) -> None:
    """Without AVX512 and AVX2, as far as the libraries can be told so."""
    here.env |= {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def processor_of_2008(here: Environment) -> None:
    """Emulated, without AVX: the tests of inference, except for child processes."""
    _need("qemu-x86_64")  # Debian's qemu-user
    here.prefix, here.parallel = ("qemu-x86_64", "-cpu", "Nehalem"), ()
    here.tests = ["tests/inference", "tests/test_image_io.py"]


def no_browser(here: Environment) -> None:
    """All programs except browsers."""
    links = here.folder / "bin"
    links.mkdir()
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.name not in BROWSERS and not (links / file.name).exists():
                (links / file.name).symlink_to(file)
    here.env["PATH"] = str(links)


def read_only(here: Environment) -> None:
    """Another user, who can only read the project."""
    _need("setpriv")
    if os.geteuid() != 0:
        raise UnavailableError("only root can run as another user")
    here.folder.chmod(0o755)
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(here.project)], check=True)
    own = here.folder / "own"
    own.mkdir()
    shutil.chown(own, "nobody")
    here.prefix = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    start_itself = "import subprocess, sys; subprocess.run([sys.executable, '-V'], check=True)"
    command = [*here.prefix, here.python, "-c", start_itself]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise UnavailableError(f"other users cannot run {here.python}")
    here.env |= {"HOME": str(own), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}


def without_torch(here: Environment, python: str = sys.executable) -> None:
    """Only what `pip install facesegkit` installs."""
    pins = (here.project / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = (*WITHOUT_TORCH, *TESTERS)
    _environment(here, python, [pin for pin in pins if pin.split("=")[0] in names])


def oldest_packages(here: Environment) -> None:
    """The oldest packages that pyproject.toml allows, without PyTorch."""
    allowed = (here.project / "pyproject.toml").read_text(encoding="utf-8")
    ranges = re.findall(r'"([a-z]+)>=([0-9.]+)"', allowed)
    oldest = [f"{name}=={version}" for name, version in ranges if name in WITHOUT_TORCH]
    _environment(here, sys.executable, [*oldest, *TESTERS])


def other_detectors(here: Environment) -> None:
    """With MediaPipe and face_recognition, the tests of the examples in docs/inference.md."""
    wanted = ["mediapipe==0.10.14", "numpy<2", "pillow", "onnxruntime", "tqdm", "setuptools<80"]
    _environment(here, sys.executable, [*wanted, "wheel", "click", "pytest", "pytest-xdist"])
    # Their dlib is compiled when it is installed; dlib-bin is the same, compiled.
    pip = [here.python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    models = ["face_recognition_models==0.3.0", "face_recognition==1.3.0", "dlib-bin==20.0.1.post1"]
    subprocess.run([*pip, *models], check=True)
    here.tests = ["tests/inference/test_other_detectors.py"]


def another_python(here: Environment, python: str) -> None:
    """All packages of requirements.txt, for this version."""
    _environment(here, python, (here.project / "requirements.txt").read_text().splitlines())


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise UnavailableError(f"{program} is not installed")


def _environment(here: Environment, python: str, wanted: Sequence[str]) -> None:
    folder = here.folder / "environment"
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    here.python = str(folder / "bin" / "python")
    file = here.folder / "wanted.txt"
    file.write_text("\n".join(wanted), encoding="utf-8")
    pip = [here.python, "-m", "pip", "install", "--quiet"]
    pip += shlex.split(os.environ.get("PIP_ARGS", ""))
    subprocess.run([*pip, "-r", str(file)], check=True)
    subprocess.run([*pip, "--no-deps", str(here.project)], check=True)  # for its metadata


ENVIRONMENTS: dict[str, Callable[[Environment], None]] = {
    arrange.__name__.replace("_", " "): arrange
    for arrange in (
        any_order, one_core, old_processor, processor_of_2008, no_browser, read_only,
        without_torch, oldest_packages, other_detectors,
    )
}  # fmt: skip


def attempt(arrange: Callable[[Environment], None]) -> dict[str, Any]:
    """Run the tests in an environment and count their results."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "face seg kit")
        subprocess.run(["git", "clone", "--quiet", str(TOP), str(project)], check=True)
        here = Environment(project, Path(folder))
        arrange(here)
        version = version_of(here.python)
        tests = here.run()
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    about = getattr(arrange, "func", arrange).__doc__ or ""
    return {
        "about": about.splitlines()[0],
        "python": version.split()[1],
        "system": f"{platform.system()} {platform.machine()}",
        **Counter(test.result for test in tests),
        "not passed": sorted(t.name for t in tests if t.result not in ("passed", "skipped")),
    }


def version_of(python: str) -> str:
    """Such as "Python 3.13.0"."""
    return subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=ENVIRONMENTS, help="one environment")
    parser.add_argument("--python", help="only this Python")
    parser.add_argument("--without-torch", action="store_true", help="in that Python")
    options = parser.parse_args()
    wanted = {name: ENVIRONMENTS[name] for name in options.only or ENVIRONMENTS}
    if options.python and options.without_torch:
        name = f"{version_of(options.python)} without torch"
        wanted = {name: partial(without_torch, python=options.python)}
    elif options.python:
        wanted = {version_of(options.python): partial(another_python, python=options.python)}
    results = load_results("environments")
    failed = False
    for name, arrange in wanted.items():
        try:
            results[name] = attempt(arrange)
        except UnavailableError as error:
            print(f"{name}: skipped, {error}")
            continue
        failed |= bool(results[name]["not passed"])
        save_results("environments", results)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
