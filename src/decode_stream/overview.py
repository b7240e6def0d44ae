"""What the plain command says: which streams and bundles there are, and what to type next."""

import os
import shlex
import subprocess
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from decode_stream.decoders.bundle_files import load_manifest
from decode_stream.demos.demo import demo_bundles
from decode_stream.stream.errors import BundleError
from decode_stream.stream.lsl import StreamQuery, find_streams
from decode_stream.stream.types import Modality

__all__ = ["FoundBundle", "FoundStream", "find_bundles", "overview", "overview_text"]

#: How long to look for streams: three of the questions that liblsl sends out every half second.
_LOOK_S = 1.2
_NONE = "none answered; is the amplifier's LSL application running, and UDP port 16571 open?"
_MARKERS = "Markers"
_MOST_COMMANDS = 6


@dataclass(frozen=True)
class FoundStream:
    """A stream on the network, as far as it can be told without opening it."""

    name: str
    type: str
    source_id: str
    n_channels: int
    sfreq_hz: float
    host: str

    def __str__(self) -> str:
        rate = f" @ {self.sfreq_hz:g} Hz" if self.sfreq_hz else ", irregular"
        if 0 < self.sfreq_hz < 2:
            rate = f" every {1 / self.sfreq_hz:.4g} s"
        return f"{self.name!r}, type {self.type or 'unknown'}, {self.n_channels} ch{rate}, on {self.host}"


@dataclass(frozen=True)
class FoundBundle:
    """A bundle that is at hand.

    Attributes
    ----------
    path : Path
    words : str
        The bundle in words, or why it cannot be read.
    modality : str
        Empty where it cannot be read.
    n_channels : int
        Channels that it needs.
    """

    path: Path
    words: str
    modality: str = ""
    n_channels: int = 0

    def fits(self, stream: FoundStream) -> bool:
        """Return whether a stream may be what this decodes; its channels' names are not known yet."""
        return stream.type.lower() in ("", self.modality) and stream.n_channels >= self.n_channels > 0


def overview(modality: Modality | None) -> str:
    """Look around for about a second, and return in a few lines what was found and what to type next.

    Parameters
    ----------
    modality : {"eeg", "meg", "fmri"} or None
        Only streams, bundles and demos of this one.
    """
    with ThreadPoolExecutor(1, "looking") as pool:
        streams = pool.submit(_find_streams)
        bundles = find_bundles(Path.cwd())
        return overview_text(streams.result(), bundles, tuple(demo_bundles()), modality)


def _find_streams() -> list[FoundStream]:
    return [
        FoundStream(
            info.name(),
            info.type(),
            info.source_id(),
            info.channel_count(),
            float(info.nominal_srate()),
            info.hostname(),
        )
        for info in find_streams(StreamQuery(), _LOOK_S)
    ]


def find_bundles(folder: Path) -> list[FoundBundle]:
    """Return the bundles in a folder, and those that the nearest decode-stream.toml names."""
    paths = sorted([*folder.glob("*.bundle"), *folder.glob("*.bundle.zip")]) + _named_in_toml(folder)
    shown = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in paths]
    return [_read(path) for path in dict.fromkeys(shown)]


def _named_in_toml(folder: Path) -> list[Path]:
    """Return the bundles that the sections of a configuration file name and that are there."""
    path = next((p for at in (folder, *folder.parents) if (p := at / "decode-stream.toml").is_file()), None)
    if path is None:
        return []
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    parts = [settings, *(part for part in settings.values() if isinstance(part, dict))]
    named = [part[key] for part in parts for key in ("bundle", "out") if isinstance(part.get(key), str)]
    # As everywhere, paths in the file are from the current folder.
    return [folder / name for name in named if (folder / name).exists()]


def _read(path: Path) -> FoundBundle:
    try:
        manifest = load_manifest(path)
    except BundleError as error:
        return FoundBundle(path, str(error))
    chain = manifest.chain
    words = f"{path}: {manifest.modality}, {len(chain.channels)} ch, {len(manifest.gallery)} candidates"
    return FoundBundle(path, words, manifest.modality, len(chain.channels))


def overview_text(
    streams: Sequence[FoundStream],
    bundles: Sequence[FoundBundle],
    demos: Sequence[Modality],
    modality: Modality | None,
) -> str:
    """Return what was found and what to type next.

    Parameters
    ----------
    streams, bundles : sequence of FoundStream, FoundBundle
        What was found.
    demos : sequence of str
        Modalities whose demo is installed.
    modality : {"eeg", "meg", "fmri"} or None
        Only what is of this one.
    """
    shown = [s for s in streams if modality is None or s.type.lower() in ("", modality, _MARKERS.lower())]
    usable = [b for b in bundles if modality is None or b.modality in ("", modality)]
    kind = "" if modality is None else f"{modality.upper()} "
    lines = ["Nothing to decode yet: no recording is named, and no stream or bundle.", ""]
    lines.append(f"{kind}streams on the network:" if kind else "Streams on the network:")
    lines += [f"  {stream}" for stream in shown] or [f"  {_NONE}"]
    if len(shown) < len(streams):
        lines.append(f"  and {len(streams) - len(shown)} of another type")
    lines += ["", f"{kind}bundles here:" if kind else "Bundles here:"]
    lines += [f"  {bundle.words}" for bundle in usable] or ["  none"]
    commands = _commands(shown, usable, demos, modality)
    width = max(len(command) for command, _ in commands)
    lines += ["", "What to type next:", *(f"  {command:<{width}}  {what}" for command, what in commands)]
    return "\n".join(lines)


def _commands(
    streams: Sequence[FoundStream],
    bundles: Sequence[FoundBundle],
    demos: Sequence[Modality],
    modality: Modality | None,
) -> list[tuple[str, str]]:
    """Return command lines with what each does, the most telling first."""
    signals = [stream for stream in streams if stream.sfreq_hz > 0 and stream.type != _MARKERS]
    names = [stream.name for stream in streams]
    which = {
        s: ("--stream", s.name) if names.count(s.name) == 1 else ("--source-id", s.source_id) for s in signals
    }
    live = [
        (_typed("--bundle", str(bundle.path), *which[stream]), "decode it live")
        for stream in signals
        for bundle in bundles
        if bundle.fits(stream)
    ]
    watch = [(_typed(*which[stream]), "look at its signal") for stream in signals]
    play = [
        (
            _typed("--demo", *(("--modality", name) if name != "eeg" else ())),
            f"see a demo: simulated {name.upper()}",
        )
        for name in demos
        if modality in (None, name)
    ]
    wanted = modality or "eeg"
    train = (_typed("train", "RECORDING...", "--modality", wanted, "--out", "my.bundle"), "make a bundle")
    made = [] if any(bundle.modality for bundle in bundles) else [train]
    replay = (_typed("--replay", "RECORDING"), "play a recording and look at it")
    return [*live[:_MOST_COMMANDS], *watch[:_MOST_COMMANDS], *play, replay, *made]


def _typed(*parts: str) -> str:
    """Return a command line as this system's shell takes it."""
    if os.name == "nt":
        return subprocess.list2cmdline(["decode-stream", *parts])
    return " ".join(
        ["decode-stream", *(part if part.endswith("...") else shlex.quote(part) for part in parts)]
    )
