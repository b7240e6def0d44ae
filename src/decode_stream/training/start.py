"""What a training begins with: the network of a bundle, or weights that public code has saved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from decode_stream.betas import check_same_glm
from decode_stream.config import Model, TrainConfig
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.bundle_files import is_bundle
from decode_stream.decoders.chains import pick_channels
from decode_stream.decoders.design import check_alike, design, redesign
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording

from .model_checks import check_network, check_prior_space
from .models import MODELS, trial_spec
from .nsd_split import check_split, undivided

__all__ = ["check_early", "read_start", "recipe_of_others", "start_channels", "start_for"]


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
    start = Start(
        weights=bundle.weights,
        origin=training.public,
        learnt_first=(*training.learnt_first, told),
        channels=bundle.manifest.chain.channels,
    )
    return start, bundle.manifest


def start_for(start: Start, begun: Manifest | None, subject: str) -> Start:
    """Return what a training of a person's decoder begins with, which knows whether it is of that person.

    Parameters
    ----------
    begun : Manifest or None
        Of the bundle that the training begins with.
    subject : str
        Whose decoder it is to be; empty where nothing tells it, and then that is nobody's that is known.
    """
    same = begun is not None and bool(subject) and begun.training.subjects == (subject,)
    return replace(start, same_person=same)


def start_channels(
    begun: Manifest | None, asked: tuple[str, ...] | None, model: Model
) -> tuple[str, ...] | None:
    """Return the channels to train on: those of the bundle, which its weights know by their places.

    A model that has a layer of each person's channels takes those of the recordings.

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
    if begun is None or MODELS[model].own_channels:
        return asked
    known = begun.chain.channels
    if asked is not None and asked != known:
        raise UsageError(
            f"--channels is {','.join(asked)}, and the bundle given to --init-from has {len(known)} channels in this "
            f"order: {','.join(known)}. Leave out --channels to take these."
        )
    return known


def check_early(
    subject: str,
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
    subject : str
        Whose decoder it is to be; empty where nothing tells it.
    recordings : sequence of Recording
        Of that person.
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
        check_split(begun, config.nsd_split, subject)
        check_same_glm(begun, undivided(recordings[0]))
        _check_space(begun, gallery.space)
        _check_new(begun, [recording.name for recording in recordings], fingerprints)
        if config.modality == "fmri" and channels is not None:
            for recording in recordings:
                have = {channel.name for channel in recording.channels}
                found = [name for name in channels if name in have]
                _check_voxels(channels, found, recording.name, "the bundle given to --init-from", model)
    if config.prior:
        check_prior_space(gallery.space)
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
    start = replace(start_for(start, begun, subject), person=person)
    check_network(model, recipe, FitOptions(start=start))


def _check_voxels(channels: Sequence[str], voxels: Sequence[str], who: str, whose: str, model: Model) -> None:
    """Refuse a recording whose voxels are not those that a network takes.

    Parameters
    ----------
    channels : sequence of str
        The voxels that the network takes.
    voxels : sequence of str
        Those of the recording that would go into it.
    who, whose : str
        What the recording is called, and whose the voxels of the network are.

    Raises
    ------
    UsageError
    """
    if set(voxels) == set(channels):
        return
    can = ", ".join(name for name, entry in MODELS.items() if entry.own_channels)
    raise UsageError(
        f"{who} has {len(set(voxels) & set(channels))} of the {len(channels)} voxels of {whose}"
        f"{', and others' if set(voxels) - set(channels) else ''}: it is of another person, or read with another "
        f"--mask. --model {model} takes the same voxels of everybody; {can} has a layer for those of each person. "
        f"Leave out the recordings of others and --init-from, or train with --model {can} from the beginning."
    )


def recipe_of_others(
    runs: Sequence[Recording],
    recipe: Recipe,
    first: Recording,
    channels: Sequence[str] | None,
    model: Model,
) -> Recipe:
    """Return the recipe for another person's recordings.

    Parameters
    ----------
    runs : sequence of Recording
        Of the other person.
    recipe : Recipe
        Of the person that the decoder is for; not scaled.
    first : Recording
        Of that person.
    channels : sequence of str or None
        As asked for.

    Raises
    ------
    DecodeStreamError
        If the recordings are not alike, or lack channels that the model must find in those of everybody.
    """
    if MODELS[model].own_channels:
        check_alike(first, runs, (), recipe.modality)
        return redesign(recipe, runs, channels)
    for run in runs if recipe.modality == "fmri" else ():
        voxels = [channel.name for channel in pick_channels(run.channels, "fmri", channels)]
        _check_voxels(recipe.chain.channels, voxels, run.name, first.name, model)
    check_alike(first, runs, recipe.channels, recipe.modality)
    return recipe


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
