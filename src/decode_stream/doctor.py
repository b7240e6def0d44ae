"""What this machine has of what a session needs; nothing here fails where something is missing."""

import configparser
import importlib
import os
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from decode_stream.decoders.inference.nvidia import no_gpu
from decode_stream.decoders.inference.providers import PROVIDERS, ProviderKind
from decode_stream.demos.demo import demo_generator

__all__ = ["Check", "doctor", "lsl_config_file", "print_doctor"]

#: How long to look for streams, seconds.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether it is there and works.
    text : str
        What was found, or what is missing and what to type.
    needed : bool
        Whether no session can run without it.
    """

    name: str
    ok: bool
    text: str
    needed: bool = True


def doctor(*, streams: bool = False) -> tuple[Check, ...]:
    """Return what was found on this machine, in the order in which a session needs it.

    Parameters
    ----------
    streams : bool
        Also look for streams on the network, for one second.
    """
    looks: list[tuple[str, bool, Callable[[], str]]] = [
        ("Python", True, _python),
        ("CPUs", True, _cpus),
        *((name, True, _version_of(name)) for name in ("decode-stream", "numpy", "scipy")),
        ("pylsl", True, _pylsl),
        ("LSL configuration", False, _lsl_config),
        ("Network interfaces", False, _interfaces),
        ("ONNX Runtime", True, _onnxruntime),
        ("NVIDIA GPU", False, _nvidia_gpu),
        *((f"--provider {kind.name}", False, _provider(kind)) for kind in PROVIDERS),
        ("mne", True, _version_of("mne")),
        ("Qt window", False, _qt),
        ("torch", False, _torch),
        ("Generator", False, _generator),
    ]
    if streams:
        looks.append(("Streams", False, _streams))
    return tuple(_look(name, needed, found) for name, needed, found in looks)


def print_doctor(console: Console | None = None, *, streams: bool = False) -> int:
    """Print the report and return the exit code: 1 if something is missing that every session needs, else 0.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to print; by default the standard output.
    streams : bool
        Also look for streams on the network, for one second.
    """
    table = Table.grid(padding=(0, 2))
    checks = doctor(streams=streams)
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]without[/]"
        table.add_row(mark, escape(check.name), escape(check.text))
    (console or Console()).print(table)
    return int(any(check.needed and not check.ok for check in checks))


def _look(name: str, needed: bool, found: Callable[[], str]) -> Check:
    # A broken library may raise anything at import, so anything is caught and told.
    try:
        return Check(name, True, found(), needed)
    except Exception as error:
        return Check(name, False, str(error) or type(error).__name__, needed)


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise LookupError(f"{package} is not installed; type: pip install {package}") from None


def _version_of(package: str) -> Callable[[], str]:
    return lambda: _installed(package)


def _python() -> str:
    return f"{platform.python_version()} on {platform.platform()}, {sys.executable}"


def _cpus() -> str:
    # A container or a batch system may grant fewer than the machine has.
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{granted} of {os.cpu_count()}"


def _pylsl() -> str:
    version = _installed("pylsl")
    library = importlib.import_module("pylsl").library_version()
    return f"{version}, liblsl {library // 100}.{library % 100}"


def lsl_config_file() -> Path | None:
    """Return the configuration file that liblsl reads, or None if it goes by its defaults.

    It takes the first that can be read of: the one named in ``LSLAPICFG``, then ``lsl_api.cfg`` in the
    working folder, in ``~/lsl_api`` and in ``/etc/lsl_api``.
    """
    named = os.environ.get("LSLAPICFG")
    places = [Path(named)] if named else []
    places += [folder / "lsl_api.cfg" for folder in (Path(), Path.home() / "lsl_api", Path("/etc/lsl_api"))]
    return next((path.absolute() for path in places if path.is_file() and os.access(path, os.R_OK)), None)


def _lsl_config() -> str:
    named = os.environ.get("LSLAPICFG")
    if named and not os.access(named, os.R_OK):
        raise FileNotFoundError(f"LSLAPICFG names {named}, which cannot be read; correct or unset it")
    path = lsl_config_file()
    parser = configparser.ConfigParser(strict=False, interpolation=None, inline_comment_prefixes=(";",))
    if path is not None:
        parser.read(path, encoding="utf-8")
    scope = parser.get("multicast", "ResolveScope", fallback="site")
    peers = parser.get("lab", "KnownPeers", fallback="")
    session = parser.get("lab", "SessionID", fallback="default")
    text = f"{path or 'none, so the defaults'}; streams are looked for in scope {scope}, session {session}"
    return f"{text}, and at {peers}" if peers.strip("{} ") else text


def _interfaces() -> str:
    names = [name for _, name in socket.if_nameindex()]
    if not names:
        raise LookupError("none, so no stream of another machine can be found")
    return ", ".join(names)


def _onnxruntime() -> str:
    packages = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    runtime = importlib.import_module("onnxruntime")
    if len(packages) > 1:
        raise RuntimeError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; type: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        )
    built_in = ", ".join(name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers())
    return f"{runtime.__version__}, built with {built_in}"


def _is_installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def _nvidia_gpu() -> str:
    if (why := no_gpu()) is not None:
        raise LookupError(f"{why}, so networks run on the CPU")
    return "found by its driver"


def _provider(kind: ProviderKind) -> Callable[[], str]:
    def found() -> str:
        if (why := kind.missing()) is not None:
            raise LookupError(why)
        return f"{kind.label} runs networks here"

    return found


def _qt() -> str:
    version = _installed("PySide6-Essentials")
    try:
        importlib.import_module("PySide6.QtWidgets")
    except ImportError as error:
        text = f"PySide6 {version} does not load: {error}; sessions run in the terminal"
        raise ImportError(text) from error
    platforms = ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in platforms):
        raise LookupError(f"PySide6 {version} loads, but there is no screen; sessions run in the terminal")
    return f"PySide6 {version}"


def _torch() -> str:
    if not _is_installed("torch"):
        raise LookupError('not installed; only training needs it: pip install "decode-stream[train]"')
    return metadata.version("torch")


def _generator() -> str:
    path = demo_generator()
    if path is None:
        raise LookupError("none came with this installation; pictures are drawn with --generator PATH alone")
    return f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, draws what the demos decode"


def _streams() -> str:
    infos = importlib.import_module("pylsl").resolve_streams(_LOOK_S)
    if not infos:
        raise LookupError(f"none answered within {_LOOK_S:g} s")
    return "; ".join(
        f"{info.name()!r} ({info.type()}, {info.channel_count()} channels, {info.nominal_srate():g} Hz, "
        f"on {info.hostname()})"
        for info in infos
    )
