"""The package is what `pyproject.toml` and the README say: folders, links, arrows, names, versions."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAPPED = {name: ROOT / folder for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items()}
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
#: Every package's folder: a mapped one, or a room inside it.
FOLDERS = {
    name: MAPPED.get(name) or MAPPED[name.rpartition(".")[0]] / name.rpartition(".")[2] for name in PACKAGES
}
PARTS = sorted(name.partition(".")[2] for name in MAPPED if "." in name)

#: What a part may import of ours; the application may import everything.
ARROWS = {
    "stream": set(),
    "decoders": {"stream"},
    "replay_data": {"stream"},
    "export": {"stream", "decoders"},
    "gui": {"stream.errors", "stream.types"},
}
#: What a room of a part may import of the part's others; what lies beside the rooms serves all of them. "" is the
#: application.
ROOMS = {
    "": {
        "brain": {"evaluation", "pictures"},
        "demos": {"pictures", "training"},
        "evaluation": set(),
        "generation": {"evaluation", "pictures", "training"},
        "pictures": set(),
        "sessions": {"demos", "evaluation"},
        "simulation": set(),
        "training": {"pictures"},
    },
    "decoders": {
        "brain": {"scoring"},
        "distillation": {"generation", "training"},
        "encoders": set(),
        "generation": {"inference"},
        "ideal": set(),
        "inference": set(),
        "scoring": set(),
        "targets": set(),
        "training": {"encoders", "scoring"},
    },
    "replay_data": {
        "formats": set(),
        "pictures": {"things_eeg"},
        "things_eeg": {"formats"},
        "things_meg": {"formats"},
        "nsd": {"formats"},
        "scanner": {"formats"},
        "simulation": {"formats", "nsd", "things_eeg"},
    },
    "stream": {"fmri": set(), "scanner": set()},
}
HEAVY = {"torch", "PySide6", "pyqtgraph", "mne", "onnxruntime", "onnx"}
MODULES = sorted(
    (package if path.stem == "__init__" else f"{package}.{path.stem}", path)
    for package, folder in FOLDERS.items()
    for path in folder.glob("*.py")
)
RUNNABLE = [(module, path) for module, path in MODULES if path.stem != "__main__"]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_every_folder_of_code_is_a_package_that_is_shipped() -> None:
    found = {
        ".".join((package, *path.parent.relative_to(folder).parts))
        for package, folder in MAPPED.items()
        for path in folder.rglob("__init__.py")  # does not follow links
    }
    # A new folder of code at the root would be missing from the wheel without anyone noticing here.
    at_root = {path.parent for path in ROOT.glob("*/__init__.py")}
    assert at_root - {ROOT / "tests", ROOT / "benchmarks"} <= set(MAPPED.values())
    assert set(MAPPED) | found == set(PACKAGES)
    assert set(PARTS) == set(ARROWS)


@pytest.mark.parametrize("part", PARTS)
def test_a_link_leads_editors_to_each_part(part: str) -> None:
    link = ROOT / "src" / "decode_stream" / part
    if link.is_symlink():
        assert link.resolve() == ROOT / part
    else:  # a clone without links, as git makes on Windows: the file holds the path
        assert link.read_text(encoding="utf-8").strip() == f"../../{part}"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_typed_and_says_what_it_is(package: str) -> None:
    top = next(name for name in sorted(MAPPED, reverse=True) if f"{package}.".startswith(f"{name}."))
    assert (MAPPED[top] / "py.typed").is_file()
    assert importlib.import_module(package).__doc__


@pytest.mark.parametrize(
    "code",
    [
        "import decode_stream",
        "from decode_stream.cli import main\ntry: main()\nexcept SystemExit as end: assert not end.code",
    ],
    ids=["import", "help"],
)
def test_what_comes_first_loads_nothing_heavy(code: str) -> None:
    tell = "\nimport json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = python(code + tell, "--help")
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "decode_stream" in loaded
    assert not loaded & HEAVY


def test_a_session_needs_no_torch() -> None:
    code = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnxscript", "sklearn"):
            raise ModuleNotFoundError(f"A session imports {name}.")

sys.meta_path.insert(0, Refuse())
import decode_stream.sessions.run, decode_stream.sessions.session, decode_stream.decoders.runtime
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def imports_of_ours(path: Path) -> set[str]:
    """Return what a file imports of ours, as dotted names below `decode_stream`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, f"{path}:{node.lineno}: import across folders by full name"
            if node.level == 0 and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("decode_stream.") for name in names if name.startswith("decode_stream.")}


@pytest.mark.parametrize("part", PARTS)
def test_no_part_imports_against_the_arrows(part: str) -> None:
    files = sorted((ROOT / part).rglob("*.py"))
    assert files
    for path in files:
        room = ".".join(path.parent.relative_to(ROOT).parts)
        for name in imports_of_ours(path) - {"__version__"}:
            if f"{name}.".startswith(f"{part}."):
                within = max((p for p in PACKAGES if f"decode_stream.{name}.".startswith(f"{p}.")), key=len)
                assert within != f"decode_stream.{room}", (
                    f"{path}: {name} lies in the same folder; import relatively"
                )
                continue
            allowed = any(f"{name}.".startswith(f"{arrow}.") for arrow in ARROWS[part])
            assert allowed, f"{path} imports {name}; {part} may import {sorted(ARROWS[part])}"


@pytest.mark.parametrize(("part", "room"), sorted((part, room) for part in ROOMS for room in ROOMS[part]))
def test_no_room_imports_against_the_arrows(part: str, room: str) -> None:
    rooms = ROOMS[part]
    prefix = f"{part}." if part else ""
    files = sorted((FOLDERS[f"decode_stream.{prefix}{room}"]).glob("*.py"))
    assert files
    for path in files:
        for name in imports_of_ours(path):
            other = name.removeprefix(prefix).partition(".")[0]
            if name.startswith(prefix) and other in rooms:
                assert other != room, f"{path}: {name} lies in the same room; import relatively"
                assert other in rooms[room], f"{path} imports {name}; {room} may import {sorted(rooms[room])}"


def test_an_import_against_the_arrows_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "def f():\n    from decode_stream.export import onnx\n    import decode_stream.gui.theme\n"
    )
    assert imports_of_ours(file) == {"export.onnx", "gui.theme"}


def in_order(name: str) -> tuple[int, str]:
    """Return the key of the order that names stand in: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize(("module", "path"), RUNNABLE, ids=[module for module, _ in RUNNABLE])
def test_public_names_exist_and_are_sorted(module: str, path: Path) -> None:
    public = getattr(importlib.import_module(module), "__all__", [])
    assert public or path.stem == "__init__", f"{path} says nothing of what is public"
    assert list(public) == sorted(public, key=in_order)
    assert not [name for name in public if not hasattr(sys.modules[module], name)]


def test_readme_begins_with_the_two_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    wanted = re.findall(
        r"grep -m1 '\^([^']+)' README\.md", (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    )
    assert len(wanted) == 2
    for block, beginning in zip(blocks[:2], wanted, strict=True):
        assert block.count("\n") == 1
        assert block.startswith(beginning)
        assert [line for line in readme.splitlines() if line.startswith(beginning)] == [block.strip()]
    assert blocks[0].rstrip().endswith("/decode-stream --modality meg --demo")
    assert blocks[1].rstrip().endswith("/python -m pytest")


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [version]
    assert re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)[0] == version


def test_every_direct_dependency_has_a_tested_pin() -> None:
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + [
        line for extra in ("train", "test", "lint", "bench") for line in extras[extra]
    ]
    names = {re.split(r"[<>=!\[; ]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names <= set(pins)


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in (*FOLDERS.values(), ROOT / "tests", ROOT / "benchmarks")
        for path in folder.rglob("*.py")
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_wheel_holds_the_demonstration() -> None:
    # What setuptools would copy into the wheel; building one takes longer, and CI does that too.
    code = """
import json, warnings
from setuptools.dist import Distribution
warnings.simplefilter("ignore")
distribution = Distribution({"script_name": "setup.py"})
distribution.parse_config_files()
command = distribution.get_command_obj("build_py")
command.ensure_finalized()
print(json.dumps([str(path) for path in command.get_outputs(include_bytecode=False)]))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    shipped = {Path(path).as_posix() for path in json.loads(done.stdout.splitlines()[-1])}
    folder = ROOT / "replay_data" / "demo-bundles"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, "there is no demonstration"
    assert sum(path.stat().st_size for path in files) < 20_000_000
    pictures = sorted((ROOT / "replay_data" / "pictures").iterdir())
    assert {"NOTICE.md", "objects.json", "objects.webp", "space.safetensors"} <= {
        path.name for path in pictures
    }
    for path in [*files, *pictures, *(path for _, path in MODULES), *ROOT.glob("*/py.typed")]:
        inside = path.relative_to(ROOT).as_posix().removeprefix("src/decode_stream/")
        assert any(name.endswith(f"/decode_stream/{inside}") for name in shipped), f"{inside} is not shipped"
