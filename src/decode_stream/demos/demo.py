"""The demos that come with the program: by modality, a recording of a simulated subject and a bundle for it."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

__all__ = ["DEMOS", "GENERATOR", "Demo", "demo_bundles", "demo_files", "demo_generator"]


class Demo(NamedTuple):
    """File names of a demo."""

    bundle: str
    recording: str


DEMOS: dict[Modality, Demo] = {
    "eeg": Demo("eeg.bundle.zip", "eeg.simulation.json"),
    "meg": Demo("meg.bundle.zip", "meg.simulation.json"),
    "fmri": Demo("fmri.bundle.zip", "fmri.simulation.json"),
}

#: Beside the demos' files.
GENERATOR = "generator.zip"


def _folder() -> Path:
    return Path(str(files("decode_stream.replay_data") / "demo-bundles"))


def demo_files(modality: Modality) -> tuple[Path, Path]:
    """Return the bundle and the recording of a modality's demo.

    Raises
    ------
    UsageError
        If this installation does not hold them.
    """
    folder = _folder()
    paths = tuple(folder / name for name in DEMOS[modality])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        present = [f"decode-stream --demo --modality {name}" for name in demo_bundles()]
        there = (
            f"What is there: {', '.join(present)}."
            if present
            else "Install it again: pip install decode-stream"
        )
        raise UsageError(
            f"The demo of {modality} cannot be played: {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not in {folder}. {there}"
        )
    return paths[0], paths[1]


def demo_generator() -> Path | None:
    """Return the generator that draws what the demos decode, or None where this installation holds none."""
    path = _folder() / GENERATOR
    return path if path.exists() else None


def demo_bundles() -> dict[Modality, Path]:
    """Return the bundles of the demos that this installation holds, by modality."""
    folder = _folder()
    return {
        modality: folder / demo.bundle
        for modality, demo in DEMOS.items()
        if all((folder / name).exists() for name in demo)
    }
