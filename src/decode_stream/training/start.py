"""What a training begins with: the network of a bundle, or weights that public code has saved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from decode_stream.config import Model, TrainConfig
from decode_stream.decoders.bundle import is_bundle, load_bundle
from decode_stream.decoders.design import design
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest
from decode_stream.decoders.recipe import Gallery
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording

from .models import check_network, trial_spec

__all__ = ["check_early", "read_start", "start_channels"]


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
    training = bundle.manifest.training
    told = f"{', '.join(training.recordings)} (bundle {bundle.manifest.name}, SHA-256 {bundle.sha256[:12]})"
    start = Start(weights=bundle.weights, origin=training.public, learnt_first=(*training.learnt_first, told))
    return start, bundle.manifest


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


def check_early(
    recordings: Sequence[Recording],
    fingerprints: Sequence[str],
    gallery: Gallery,
    *,
    config: TrainConfig,
    model: Model,
    channels: tuple[str, ...] | None,
    start: Start,
    begun: Manifest | None,
    n_given: int,
) -> None:
    """Refuse, before a picture is embedded or a trial cut, what no training can begin with.

    Parameters
    ----------
    recordings : sequence of Recording
        Of the person whose decoder it is to be.
    fingerprints : sequence of str
        Of these.
    gallery : Gallery
        May have no entry yet.
    channels : tuple of str or None
        To train on.
    begun : Manifest or None
        Of the bundle that the training begins with.
    n_given : int
        Recordings, with those of other people.

    Raises
    ------
    DecodeStreamError
        If the recordings do not go together, a network cannot be made for them, or `start` is not for it.
    """
    if begun is not None:
        _check_space(begun, gallery.space)
        _check_new(begun, [recording.name for recording in recordings], fingerprints)
    recipe = design(
        recordings,
        config.modality,
        channels,
        gallery,
        spec=trial_spec(model, config.modality, config.windows),
        lag_s=config.lag_s,
        width_s=config.width_s,
    )
    # Whom public weights know is asked of one person's recordings alone.
    person = start.person if len(recordings) == n_given else ""
    check_network(model, recipe, FitOptions(start=replace(start, person=person)))


def _check_space(begun: Manifest, space: EmbeddingSpace) -> None:
    """Refuse to go on from a bundle of other embeddings.

    Raises
    ------
    UsageError
    """
    if begun.space != space:
        raise UsageError(
            f"The bundle given to --init-from decodes {begun.space.model} {begun.space.layer} of dimension "
            f"{begun.space.dimension}, and this training is for {space.model} {space.layer} of dimension "
            f"{space.dimension}. Give the bundle's own target"
            f"{f', --target {begun.training.target}' if begun.training.target else ', categories'}."
        )


def _check_new(begun: Manifest, names: Sequence[str], fingerprints: Sequence[str]) -> None:
    """Refuse to go on from a bundle with recordings that it knows already.

    Raises
    ------
    UsageError
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
