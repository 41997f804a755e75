"""Who may import whom, how long a file may be, and that every module has its test.

The rules are tables below; the tests walk the syntax trees of the package and compare.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "keras_videoprism"
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))

# A unit is a folder or a top-level module of the package. These may import every unit.
ENTRY_POINTS = {"__init__", "__main__", "commands"}
ALLOWED_UNITS = {
    "layers": set(),
    "data": set(),
    "evaluation": set(),
    "models": {"layers"},
    "training": {"models", "layers"},
    "heads": {"models", "layers"},
    "converters": {"models", "layers"},
    "presets": {"models", "converters", "data"},  # a preset folder holds the tokenizer too
}
# The one way against the stream, inside the function: a model fetches its own preset.
PRESET_FACTORY = ("models", "from_preset", "presets")

# Units that must stay light may import these besides the standard library. NumPy in `layers`
# makes constants on the host, such as sinusoids and resize weights.
ALLOWED_PACKAGES = {
    "layers": {"keras", "numpy"},
    "data": {"numpy", "tensorflow", "av", "sentencepiece", "google", "google_crc32c", "PIL"},
    "evaluation": {"numpy", "keras"},
}
# Optional dependencies, imported inside the functions that need them.
OPTIONAL_PACKAGES = {
    "apache_beam",
    "cv2",
    "fsspec",
    "grain",
    "matplotlib",
    "nltk",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorflow_data_validation",
    "tensorflow_io",
    "tensorflow_metadata",
}
# Of these, what the units above may use.
ALLOWED_PACKAGES["data"] |= OPTIONAL_PACKAGES

BACKEND_NEUTRAL = {"layers", "models", "training", "heads", "converters"}
BACKEND_CODE = ("training/train_step.py", "training/devices.py")
BACKENDS = {"jax", "jaxlib", "tensorflow", "torch"}
BACKEND_QUERIES = {"backend.backend", "config.backend"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80


# A check takes a file's relative path and its source, and yields one sentence for each error.
Check = Callable[[Path, str], Iterator[str]]


class Import(NamedTuple):
    """One imported name, such as `keras.ops`, and the innermost function that imports it."""

    name: str
    function: str | None


def absolute_name(node: ast.ImportFrom, module: str) -> str:
    """The full name of what `node` imports from, seen from the file of `module`."""
    if not node.level:
        return node.module or ""
    parents = module.split(".")[: -node.level]
    return ".".join([*parents, node.module] if node.module else parents)


def imports_of(tree: ast.AST, module: str, function: str | None = None) -> Iterator[Import]:
    """Every import below `tree`, those inside functions included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(node, module)
            yield from (Import(f"{base}.{alias.name}", function) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports_of(node, module, node.name)
        else:
            yield from imports_of(node, module, function)


def unit_of(path: Path) -> str:
    """The unit that a file of the package belongs to: `layers/masking.py` is in `layers`."""
    return path.parts[0].removesuffix(".py")


def import_errors(path: Path, source: str) -> Iterator[str]:
    """Imports of the file at `path` (relative to the package) that its unit may not make."""
    unit = unit_of(path)
    if unit in ENTRY_POINTS:
        return
    module = ".".join([PACKAGE, *path.with_suffix("").parts])
    for name, function in imports_of(ast.parse(source), module):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top == PACKAGE:
            allowed = ALLOWED_UNITS[unit] | {unit}
            if target not in allowed and (unit, function, target) != PRESET_FACTORY:
                yield f"{path}: {unit} may not import {name}"
        elif top in OPTIONAL_PACKAGES and function is None:
            yield f"{path}: import the optional {top} inside the function that needs it"
        elif unit == "evaluation" and top == "keras" and target != "ops":
            yield f"{path}: evaluation may import nothing of keras but keras.ops"
        elif top not in ALLOWED_PACKAGES.get(unit, {top}) | sys.stdlib_module_names:
            yield f"{path}: {unit} may not import {name}"


def backend_errors(path: Path, source: str) -> Iterator[str]:
    """Code of one backend, or a question which one is active, where neither belongs."""
    if unit_of(path) not in BACKEND_NEUTRAL or path.as_posix() in BACKEND_CODE:
        return
    tree = ast.parse(source)
    imported = [name for name, _ in imports_of(tree, str(path))]
    attributes = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for name in imported:
        if name.partition(".")[0] in BACKENDS:
            yield f"{path}: imports {name}; only {' and '.join(BACKEND_CODE)} may"
    for name in imported + attributes:
        if ".".join(name.split(".")[-2:]) in BACKEND_QUERIES:
            yield f"{path}: asks {name}; only {' and '.join(BACKEND_CODE)} may"


def size_errors(path: Path, source: str) -> Iterator[str]:
    """A file or a function that asks for a split."""
    lines = len(source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{path}: {lines} lines, more than {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{path}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"


def mirror_test(path: Path) -> Path:
    """The test of a module: `layers/masking.py` is tested by `layers/test_masking.py`."""
    return path.with_name(f"test_{path.stem.strip('_')}.py")


def holds_code(source: str) -> bool:
    """Whether a module defines something that a test could call."""
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return any(isinstance(node, definitions) for node in ast.parse(source).body)


def mirror_errors(path: Path, source: str) -> Iterator[str]:
    """A module with code, other than `__init__.py`, that has no test."""
    test = Path("tests") / mirror_test(path)
    if path.stem != "__init__" and holds_code(source) and not (ROOT / test).exists():
        yield f"{path}: no {test}"


def all_errors(check: Check, paths: list[Path], root: Path) -> str:
    """What `check` finds in the files at `paths`, one error a line; "" where all is well."""
    found = (check(path.relative_to(root), path.read_text("utf-8")) for path in paths)
    return "\n".join(error for errors in found for error in errors)


def test_every_unit_says_what_it_may_import():
    units = {unit_of(path.relative_to(ROOT / PACKAGE)) for path in MODULES}
    assert units - ENTRY_POINTS <= ALLOWED_UNITS.keys()


def test_imports_flow_one_way():
    assert all_errors(import_errors, MODULES, ROOT / PACKAGE) == ""


def test_only_two_files_know_the_backend():
    assert all_errors(backend_errors, MODULES, ROOT / PACKAGE) == ""


def test_files_and_functions_are_short():
    folders = [ROOT / name for name in (PACKAGE, "examples", "tools", "tests")]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    assert all_errors(size_errors, paths, ROOT) == ""


def test_every_module_has_its_test():
    assert all_errors(mirror_errors, MODULES, ROOT / PACKAGE) == ""


def test_mirror_test_paths():
    assert mirror_test(Path("layers/masking.py")) == Path("layers/test_masking.py")
    assert mirror_test(Path("__main__.py")) == Path("test_main.py")


def test_a_module_without_test_is_found():
    assert len(list(mirror_errors(Path("layers/no_such_module.py"), "def f(): ..."))) == 1
    assert list(mirror_errors(Path("layers/no_such_module.py"), "from typing import Any")) == []


def test_a_forbidden_import_is_found():
    def count(path: str, source: str) -> int:
        return len(list(import_errors(Path(path), source)))

    assert count("layers/a.py", "import math\nfrom keras import ops") == 0
    assert count("layers/a.py", "import scipy") == 1
    assert count("layers/a.py", "from keras_videoprism.layers.b import c") == 0
    assert count("layers/a.py", "from ..models import VideoPrism") == 1
    assert count("layers/a.py", "from keras_videoprism import data") == 1
    assert count("heads/a.py", "from keras_videoprism.training import losses") == 1
    assert count("heads/a.py", "import keras_videoprism as kvp") == 1
    assert count("data/a.py", "import keras") == 1
    assert count("data/a.py", "def f():\n    import keras") == 1
    assert count("data/a.py", "import sklearn") == 1
    assert count("data/a.py", "def f():\n    from sklearn import datasets") == 0
    assert count("evaluation/a.py", "from keras import ops") == 0
    assert count("evaluation/a.py", "from keras import layers") == 1
    assert count("__main__.py", "from keras_videoprism import data, models") == 0


def test_presets_are_imported_in_from_preset_alone():
    line = "from keras_videoprism import presets"
    inside = f"class A:\n  @classmethod\n  def from_preset(cls):\n    {line}"
    assert list(import_errors(Path("models/a.py"), inside)) == []
    assert len(list(import_errors(Path("models/a.py"), line))) == 1
    assert len(list(import_errors(Path("heads/a.py"), inside))) == 1


def test_backend_code_is_found():
    def count(path: str, source: str) -> int:
        return len(list(backend_errors(Path(path), source)))

    assert count("models/a.py", "import jax.numpy as jnp") == 1
    assert count("models/a.py", "import keras\nif keras.backend.backend() == 'jax': pass") == 1
    assert count("models/a.py", "from keras.config import backend") == 1
    assert count("models/a.py", "import keras\nkeras.backend.clear_session()") == 0
    assert count("training/train_step.py", "import jax") == 0
    assert count("data/a.py", "import tensorflow as tf") == 0


def test_long_code_is_found():
    body = "    x = 1\n" * MAX_FUNCTION_LINES
    assert len(list(size_errors(Path("a.py"), f"def f():\n{body}"))) == 1
    assert len(list(size_errors(Path("a.py"), "x = 1\n" * (MAX_FILE_LINES + 1)))) == 1
    assert list(size_errors(Path("a.py"), "x = 1\n" * MAX_FILE_LINES)) == []
