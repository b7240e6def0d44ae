"""The report tells what is there, and goes on where something is missing."""

import importlib
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from decode_stream.doctor import Check, doctor, lsl_config_file, print_doctor


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put here what importing a module shall give, or the error it shall end in."""
    instead: dict[str, Any] = {}
    really = importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        found = instead.get(name)
        if isinstance(found, Exception):
            raise found
        return found or really(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    return instead


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Put here the packages that shall not be installed."""
    absent: set[str] = set()
    really = importlib.metadata.version

    def version(package: str) -> str:
        if package in absent:
            raise importlib.metadata.PackageNotFoundError(package)
        return really(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return absent


def check(name: str, **options: bool) -> Check:
    return next(found for found in doctor(**options) if found.name == name)


def printed() -> tuple[int, str]:
    console = Console(file=StringIO(), record=True, width=200)
    return print_doctor(console), console.export_text()


def test_all_that_a_session_needs_is_here() -> None:
    code, text = printed()
    assert code == 0
    assert all(found.ok for found in doctor() if found.needed)
    assert "liblsl 1." in text
    assert "CPU" in check("ONNX Runtime").text


@pytest.mark.parametrize(
    ("name", "package"),
    [("decode-stream", "decode-stream"), ("numpy", "numpy"), ("pylsl", "pylsl"), ("mne", "mne")],
)
def test_a_missing_package_is_named_with_what_to_type(name: str, package: str, uninstalled: set[str]) -> None:
    uninstalled.add(package)
    found = check(name)
    assert not found.ok
    assert found.text == f"{package} is not installed; type: pip install {package}"
    code, text = printed()
    assert code == 1
    assert found.text in text


@pytest.mark.parametrize(
    ("name", "module"),
    [("pylsl", "pylsl"), ("ONNX Runtime", "onnxruntime"), ("Qt window", "PySide6.QtWidgets")],
)
def test_a_library_that_does_not_load_is_told_why(name: str, module: str, imported: dict[str, Any]) -> None:
    imported[module] = ImportError("libX.so.1: cannot open shared object file")
    found = check(name)
    assert not found.ok
    assert "libX.so.1: cannot open shared object file" in found.text


def test_pylsl_without_liblsl_raises_what_it_likes(imported: dict[str, Any]) -> None:
    imported["pylsl"] = RuntimeError("LSL binary library file was not found.")
    assert check("pylsl").text == "LSL binary library file was not found."


def test_without_torch_or_a_window_a_session_can_run(imported: dict[str, Any], uninstalled: set[str]) -> None:
    imported["PySide6.QtWidgets"] = ImportError("libEGL.so.1")
    uninstalled.add("torch")
    code, text = printed()
    assert code == 0
    assert "only training needs it" in text
    assert "sessions run in the terminal" in text


def test_a_machine_without_a_screen(imported: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    imported["PySide6.QtWidgets"] = SimpleNamespace()
    monkeypatch.setattr(sys, "platform", "linux")  # other systems always have a screen
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not check("Qt window").ok
    assert "no screen" in check("Qt window").text
    monkeypatch.setenv("DISPLAY", ":0")
    assert check("Qt window").ok


def test_two_onnx_runtimes_overwrite_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    really = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "1.31.1" if name.startswith("onnxruntime") else really(name),
    )
    found = check("ONNX Runtime")
    assert not found.ok
    assert "overwrite each other" in found.text


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """Return an empty working folder and an empty home, with no LSLAPICFG."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (home / "lsl_api").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.delenv("LSLAPICFG", raising=False)
    return work, home


def test_the_lsl_configuration_in_force(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    work, home = folders
    at_home = home / "lsl_api" / "lsl_api.cfg"
    at_home.write_text("[lab]\nSessionID = ours ; of this room\nKnownPeers = {10.0.0.7}\n", encoding="utf-8")
    assert lsl_config_file() == at_home
    found = check("LSL configuration")
    assert found.ok
    assert "session ours, and at {10.0.0.7}" in found.text

    here = work / "lsl_api.cfg"
    here.write_text("[multicast]\nResolveScope = machine\n", encoding="utf-8")
    assert lsl_config_file() == here
    assert "scope machine, session default" in check("LSL configuration").text

    named = work / "named.cfg"
    named.write_text("[multicast]\nResolveScope = link\n", encoding="utf-8")
    monkeypatch.setenv("LSLAPICFG", str(named))
    assert lsl_config_file() == named
    assert "scope link" in check("LSL configuration").text


@pytest.mark.usefixtures("folders")
def test_a_named_lsl_configuration_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSLAPICFG", "nowhere.cfg")
    found = check("LSL configuration")
    assert not found.ok
    assert "nowhere.cfg, which cannot be read" in found.text


def test_a_damaged_lsl_configuration_is_told(folders: tuple[Path, Path]) -> None:
    (folders[0] / "lsl_api.cfg").write_text("ResolveScope\n", encoding="utf-8")
    assert not check("LSL configuration").ok


def test_streams_are_listed_only_when_asked(imported: dict[str, Any]) -> None:
    info = SimpleNamespace(
        name=lambda: "Amp",
        type=lambda: "EEG",
        channel_count=lambda: 32,
        nominal_srate=lambda: 500.0,
        hostname=lambda: "lab",
    )
    answers: list[list[Any]] = [[info], []]
    imported["pylsl"] = SimpleNamespace(
        library_version=lambda: 117, resolve_streams=lambda wait_s: answers.pop(0)
    )
    assert check("Streams", streams=True).text == "'Amp' (EEG, 32 channels, 500 Hz, on lab)"
    assert check("Streams", streams=True).text == "none answered within 1 s"
    assert "Streams" not in {found.name for found in doctor()}
    assert check("pylsl").text.endswith("liblsl 1.17")


def test_it_says_whether_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "generator.zip"
    monkeypatch.setattr("decode_stream.doctor.demo_generator", lambda: shipped if shipped.exists() else None)
    found = check("Generator")
    assert not found.ok
    assert not found.needed
    assert "--generator PATH" in found.text
    shipped.write_bytes(bytes(2_000_000))
    assert check("Generator").text == "generator.zip, 2.0 MB, draws what the demos decode"


def test_each_provider_is_listed_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("doctor.no_gpu", "decoders.inference.providers.no_gpu"):
        monkeypatch.setattr(f"decode_stream.{place}", lambda: "no NVIDIA driver")
    listed = {found.name: found for found in doctor() if found.name.startswith("--provider ")}
    names = ["tensorrt-engine", "tensorrt", "cuda", "cpu"]
    assert [name.removeprefix("--provider ") for name in listed] == names
    assert [found.ok for found in listed.values()] == [False, False, False, True]
    assert not any(found.needed for found in listed.values())
    assert listed["--provider cuda"].text == "no NVIDIA driver"
    assert check("NVIDIA GPU").text == "no NVIDIA driver, so networks run on the CPU"
    monkeypatch.setattr("decode_stream.decoders.inference.providers.no_gpu", lambda: None)
    monkeypatch.setattr(
        "decode_stream.decoders.inference.providers.no_library",
        lambda linux, windows: (
            "libnvinfer.so.10 does not load: no such file" if "libnvinfer.so.10" in linux else None
        ),
    )
    monkeypatch.setattr(
        "onnxruntime.get_available_providers",
        lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    assert check("--provider cuda").text == "CUDA runs networks here"
    lacks = check("--provider tensorrt")
    assert not lacks.ok
    assert lacks.text == (
        "libnvinfer.so.10 does not load: no such file; type: pip install 'decode-stream[tensorrt]'"
    )
