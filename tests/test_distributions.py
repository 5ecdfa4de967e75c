"""The wheel and the sdist: their contents, what they require, and that they work installed."""

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
RUNTIME = {"numpy", "pillow", "onnxruntime", "tqdm"}
NEEDED = ("facesegkit", "figures", "benchmarks/results", "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("distributions")
    source = folder / "source"  # setuptools writes beside the sources, which may be read-only
    ignored = shutil.ignore_patterns("__pycache__")
    for name in NEEDED:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, source / name, ignore=ignored)
        else:
            shutil.copyfile(TOP / name, source / name)
    backend = "import setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", f"import sys; {backend}", folder, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, unpacked, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def test_the_sdist_and_its_wheel_have_all_modules_and_weights(distributions):
    sdist, wheel = distributions
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if name.startswith("facesegkit/")}
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    files = (file for file in (TOP / "facesegkit").rglob("*") if file.is_file())
    expected = {f.relative_to(TOP).as_posix() for f in files if "__pycache__" not in f.parts}
    assert in_wheel == expected
    assert expected <= in_sdist


def test_an_installation_without_extras_requires_four_packages(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()
    required = [line.removeprefix("Requires-Dist: ") for line in lines if "Requires-Dist" in line]
    plain = {line.split(">")[0] for line in required if "extra ==" not in line}
    assert plain == RUNTIME


@pytest.mark.skipif(importlib.util.find_spec("twine") is None, reason="twine is not installed")
def test_twine_accepts_both(distributions):
    said = run(sys.executable, "-m", "twine", "check", "--strict", *distributions, cwd=TOP)
    assert said.count("PASSED") == 2, said


def test_the_wheel_works_in_a_clean_environment(distributions, tmp_path):
    """Only with what it requires, which is borrowed, as tests have no network."""
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = next(clean.glob("[bS]*/python*"))  # bin, or Scripts
    (site,) = clean.rglob("site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", distributions[1], cwd=tmp_path)
    for package in ("numpy", "numpy.libs", "PIL", "pillow.libs", "onnxruntime", "tqdm"):
        for borrowed in {Path(p) / package for p in sys.path if (Path(p) / package).is_dir()}:
            (site / package).symlink_to(borrowed)
    command = next(file for file in python.parent.iterdir() if file.stem == "facesegkit")
    photo = str(TOP / "figures" / "astronaut.jpg")
    copies = [shutil.copy(photo, tmp_path / f"{number}.jpg") for number in range(4)]
    run(command, "segment", *copies, "--workers", "2", cwd=tmp_path)
    assert len(list((tmp_path / "segmentations").glob("*.png"))) == 4
    finished = subprocess.run([command, "segment", photo, "--format", "parquet"],
                              capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert finished.returncode == 1
    assert "pip install 'facesegkit[parquet]'" in finished.stderr
