"""Which generator draws what a session decodes: the one that was asked for, or the one that ships where it fits."""

from pathlib import Path

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.generation.embedded import EmbeddedGenerator
from decode_stream.decoders.generation.embedded_files import EmbeddedManifest, load_generator_manifest
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.load import load_generator
from decode_stream.demos.demo import demo_generator
from decode_stream.stream.errors import DecodeStreamError, UsageError

from .drawer import Drawer
from .painter import Painter

__all__ = ["check_generator", "painter_of"]


def painter_of(config: SessionConfig, bundle: Bundle | None) -> tuple[Painter | None, str]:
    """Return what draws a session's pictures, not yet started; or None, and why nothing does.

    A generator that was asked for is loaded and checked here. Of the one that ships only what it says of itself is
    read, as it draws nothing where the bundle's embeddings lie elsewhere; it is loaded while the session begins.

    Raises
    ------
    UsageError
        If the generator that was asked for, by itself or by its steps, does not fit the bundle, or cannot take so many.
    BundleError
        If it cannot be read, or the bundle does not say how much its outputs tell of a picture.
    """
    if not config.draws:
        return None, "--generator none"
    if bundle is None:
        return None, "nothing is decoded"
    if (path := config.generator) is not None:
        generator = load_generator(path, config.provider)
        check_generator(generator, path, bundle, config.steps)
        return Painter(bundle, lambda: _drawer(generator, config, bundle)), ""
    if bundle.manifest.space.of_categories:
        return None, "categories are decoded, not pictures"
    shipped = demo_generator()
    if shipped is None:
        return None, "this installation holds no generator, and --generator names none"
    asked = config.steps is not None
    try:
        painter = Painter(
            bundle, lambda: _drawer(load_generator(shipped, config.provider), config, bundle), asked=asked
        )
        check_generator(load_generator_manifest(shipped), shipped, bundle, config.steps)
    except DecodeStreamError as error:
        if asked:
            raise
        return None, str(error)
    return painter, ""


def _drawer(generator: Generator, config: SessionConfig, bundle: Bundle) -> Drawer:
    learnt = generator.nearest_pictures() if isinstance(generator, EmbeddedGenerator) else None
    return Drawer(bundle, generator, config.steps, config.generator_seed, learnt)


def check_generator(
    generator: Generator | EmbeddedManifest, path: Path, bundle: Bundle, n_steps: int | None
) -> None:
    """Refuse a generator of another space than the bundle's, or one that cannot draw in so many steps.

    Raises
    ------
    UsageError
    """
    ours, theirs = bundle.manifest.space, generator.space
    if ours != theirs:
        raise UsageError(
            f"{path} draws embeddings of {theirs.model} {theirs.layer} ({theirs.dimension} numbers), and "
            f"{bundle.manifest.name!r} decodes {ours.model} {ours.layer} ({ours.dimension} numbers). Give a generator "
            "that was trained on the bundle's target, or --generator none."
        )
    if n_steps is not None and n_steps not in generator.n_steps:
        can = ", ".join(map(str, generator.n_steps))
        raise UsageError(
            f"--steps is {n_steps}, and {path} draws in {can}. Give one of these, or leave it out."
        )
