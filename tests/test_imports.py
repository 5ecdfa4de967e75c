"""The import rules of docs/architecture.md, read from the import statements themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facesegkit

PACKAGE = Path(facesegkit.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

# Imports run from the last layer to the first. "flat" stands for all other modules that lie flat
# in facesegkit/: what the lessons teach.
LAYERS = (
    {"errors", "geometry", "labels", "image_io", "system"},
    {"data", "synthetic", "inference"},
    {"flat"},
    {"pseudo_label", "evaluation", "detection", "course", "batch", "cluster", "cli"},
)
ENTRY_POINTS = {"facesegkit", "facesegkit.__main__"}


def layer_of(module: str) -> int:
    top = (module.split(".") + [""])[1]
    known = [number for number, tops in enumerate(LAYERS) if top in tops]
    return known[0] if known else LAYERS.index({"flat"})


def imports_of(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Modules that are imported; those imported inside functions only if `lazy`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports_of(node, lazy=lazy)


def imported(module: str, *, lazy: bool = False) -> set[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return set(imports_of(tree, lazy=lazy))


@pytest.mark.parametrize("module", sorted(set(MODULES) - ENTRY_POINTS))
def test_imports_run_one_way(module: str) -> None:
    for other in imported(module) & set(MODULES) - ENTRY_POINTS:
        assert layer_of(other) <= layer_of(module), f"{module} imports {other}"
    if layer_of(module) < len(LAYERS) - 1:
        names = imported(module, lazy=True) & set(MODULES) - {"facesegkit"}
        tops = {name.split(".")[1] for name in names}
        assert not tops & {"course", "cli"}, f"{module} imports {tops} inside a function"


@pytest.mark.parametrize("package", ["facesegkit.inference", "facesegkit.synthetic"])
def test_imports_no_torch(package: str) -> None:
    reached, waiting = set(), [name for name in MODULES if name.startswith(package)]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imported(module) & set(MODULES)
            outside = {name.split(".")[0] for name in imported(module) - set(MODULES)}
            assert not outside & {"torch", "torchvision", "matplotlib"}, module


def test_modules_of_the_lessons_can_be_read_in_an_evening() -> None:
    texts = (path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    assert sum(len(text.splitlines()) for text in texts) <= 2600


def test_the_public_names_are_imported_when_they_are_used() -> None:
    assert set(facesegkit.__all__) == set(facesegkit._MODULES)
    code = (
        "import sys, facesegkit\n"
        "assert not {'numpy', 'PIL', 'onnxruntime', 'torch'} & set(sys.modules), sys.modules\n"
        "assert all(callable(getattr(facesegkit, name)) for name in facesegkit.__all__)\n"
        "assert set(facesegkit.__all__) <= set(dir(facesegkit))\n"
        "assert 'torch' not in sys.modules\n"
        "from facesegkit import no_such_name"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: cannot import name 'no_such_name'" in finished.stderr, finished.stderr
