"""Opens a generator, whichever back-end draws for it."""

from pathlib import Path

import msgspec

from decode_stream.decoders.bundle_files import member_reader

from .embedded import load_embedded
from .embedded_files import MANIFEST, is_generator
from .generator import Generator

__all__ = ["back_end", "load_generator"]


def load_generator(path: Path, provider: str = "cpu") -> Generator:
    """Return the generator of a folder or .zip, ready to draw.

    Parameters
    ----------
    provider : {"cpu", "auto", "tensorrt-engine", "tensorrt", "cuda"}
        What runs it; auto for the best that works.

    Raises
    ------
    BundleError
        If there is none, or it is damaged or incomplete.
    UsageError
        If what runs it is not to be had on this machine.
    """
    if back_end(path) == "diffusers":
        from .diffusers_generator import load_diffusers

        return load_diffusers(path, provider)
    return load_embedded(path, provider)


def back_end(path: Path) -> object:
    """Return what a generator's manifest says that draws for it; None where it does not say."""
    if not is_generator(path):
        return None
    try:
        said = msgspec.json.decode(member_reader(path)(MANIFEST))
    except msgspec.DecodeError:
        return None
    return said.get("back_end") if isinstance(said, dict) else None
