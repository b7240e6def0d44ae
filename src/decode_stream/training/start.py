"""What a training begins with: the network of a bundle, or weights that public code has saved."""

from collections.abc import Sequence
from pathlib import Path

from decode_stream.config import Model
from decode_stream.decoders.bundle import is_bundle, load_bundle
from decode_stream.decoders.fit_options import Start
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest
from decode_stream.stream.errors import UsageError

__all__ = ["check_new", "check_space", "read_start", "start_channels"]


def read_start(paths: Sequence[Path], model: Model | None) -> tuple[Start, Manifest | None]:
    """Read what is given to ``--init-from``.

    Parameters
    ----------
    paths : sequence of Path
        A bundle alone, or the files of weights of one model.
    model : str or None
        What is to be trained; None for what the bundle is.

    Returns
    -------
    Start
    Manifest or None
        Of the bundle, where it is one.

    Raises
    ------
    UsageError
        If there is no such file, a bundle is not alone, it is of another model, or it keeps no weights.
    BundleError
        If a bundle is damaged.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is nothing at {path}; --init-from takes a bundle or files of weights.")
    bundles = [path for path in paths if is_bundle(path)]
    if not bundles:
        if folders := [path for path in paths if path.is_dir()]:
            raise UsageError(
                f"{folders[0]} is a folder and not a bundle; --init-from takes a bundle or files of weights."
            )
        return Start(public=tuple(paths)), None
    if len(paths) > 1:
        raise UsageError(f"--init-from takes one bundle, or files of weights; {bundles[0]} is a bundle.")
    bundle = load_bundle(bundles[0], weights=True)
    made_by = bundle.manifest.training.model
    if not bundle.weights:
        raise UsageError(
            f"{bundles[0]} was made by --model {made_by} and keeps no weights to begin with. Give one of a network."
        )
    if model not in (None, made_by):
        raise UsageError(
            f"{bundles[0]} was made by --model {made_by}, and its weights are of no use to --model {model}. Train with "
            f"--model {made_by}, or leave out --init-from."
        )
    return Start(weights=bundle.weights, origin=bundle.manifest.training.public), bundle.manifest


def start_channels(begun: Manifest | None, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the channels to train on: those of the bundle, which its weights know by their places.

    Parameters
    ----------
    begun : Manifest or None
        Of the bundle that the training begins with.
    asked : tuple of str or None
        As given to ``--channels``.

    Raises
    ------
    UsageError
        If others are asked for, or the same in another order.
    """
    if begun is None:
        return asked
    known = begun.chain.channels
    if asked is not None and asked != known:
        raise UsageError(
            f"--channels is {','.join(asked)}, and the bundle given to --init-from has {len(known)} channels in this "
            f"order: {','.join(known)}. Leave out --channels to take these."
        )
    return known


def check_space(begun: Manifest, space: EmbeddingSpace) -> None:
    """Refuse to go on from a bundle of other embeddings.

    Parameters
    ----------
    begun : Manifest
    space : EmbeddingSpace
        Where the embeddings live that are to be decoded.

    Raises
    ------
    UsageError
        If the spaces differ.
    """
    if begun.space != space:
        raise UsageError(
            f"The bundle given to --init-from decodes {begun.space.model} {begun.space.layer} of dimension "
            f"{begun.space.dimension}, and this training is for {space.model} {space.layer} of dimension "
            f"{space.dimension}. Give the bundle's own target"
            f"{f', --target {begun.training.target}' if begun.training.target else ', categories'}."
        )


def check_new(begun: Manifest, names: Sequence[str], fingerprints: Sequence[str]) -> None:
    """Refuse to go on from a bundle with recordings that it knows already.

    Parameters
    ----------
    begun : Manifest
    names, fingerprints : sequence of str
        Of the recordings to train on.

    Raises
    ------
    UsageError
        If what would be held out of a recording was trained on before.
    """
    known = [
        name
        for name, print_ in zip(names, fingerprints, strict=True)
        if print_ in begun.training.fingerprints
    ]
    if known:
        raise UsageError(
            f"The bundle given to --init-from was trained on {', '.join(known)}: what is held out of it would be no "
            "test. Give recordings that are new to the bundle, or leave out --init-from."
        )
