"""From recordings to a bundle: cut, hold out, fit, calibrate, export, save."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from decode_stream.bundle_path import check_out
from decode_stream.config import Modality, Model, TrainConfig, TrainingProtocol
from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.cross_fit import N_PARTS, HeldOut
from decode_stream.decoders.design import design
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.hold_out import (
    Fitted,
    fit_on_concepts,
    fit_on_runs,
    fit_others,
    left_out_told,
    split_concepts,
)
from decode_stream.decoders.manifest import Manifest, Training
from decode_stream.decoders.novelty import fit_novelty
from decode_stream.decoders.recipe import Gallery, scaled
from decode_stream.library_versions import library_versions
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.recording import Recording

from .exhaustion import exhaustion_told
from .model_checks import check_config, check_network, check_starts
from .models import MODELS, default_model, fitter, known_model, prior_fitter, prior_folds, trial_spec
from .nsd_split import whole_recording
from .progress import TrainingProgress
from .start import check_early, read_start, recipe_of_others, start_channels, start_for
from .training_set import open_training_set
from .volume_space import volume_space

__all__ = ["train", "train_bundle"]


def train(
    recordings: Sequence[Recording],
    *,
    name: str,
    modality: Modality,
    model: Model,
    gallery: Gallery,
    protocol: TrainingProtocol = "runs",
    windows: Literal["growing", "whole"] = "growing",
    target: str = "",
    subjects: Sequence[str] = (),
    others: Mapping[str, Sequence[Recording]] | None = None,
    channels: Sequence[str] | None = None,
    marker_offset_s: float = 0.0,
    onset_channel: str | None = None,
    lag_s: float | None = None,
    width_s: float | None = None,
    names: Sequence[str] = (),
    fingerprints: Sequence[str] = (),
    prior_steps: int | None = None,
    glm: GlmSpec | None = None,
    options: FitOptions | None = None,
) -> tuple[Bundle, HeldOut]:
    """Train a decoder.

    Parameters
    ----------
    recordings : sequence of Recording
        One a run. Where runs are held out, a single one is split into five successive parts.
    model : str
        One of `decode_stream.training.models.MODELS`.
    gallery : Gallery
        Everything that may be trained on: categories, or pictures with their embeddings.
    protocol : {"runs", "concepts"}
        What is held out to calibrate the evidence: each run in turn, before a last fit on all; or some concepts, which
        are then the bundle's gallery.
    windows : {"growing", "whole"}
        Of encoders of whole trials: whether they decode a trial while it grows, or once.
    target : str
        What made the embeddings, as told to ``--target``.
    subjects : sequence of str
        Whose recordings they are.
    others : mapping of str to sequence of Recording, optional
        Recordings of other people, to train on first; then the network is fine-tuned.
    lag_s, width_s : float or None
        fMRI: when the window of a trial begins after its onset, and how long it is; see `volume_schedule`.
    names : sequence of str
        What the bundle is to call the recordings; by default their own names.
    fingerprints : sequence of str
        What tells each recording from others, where they come from files; those of other people as well, and those
        that a bundle knows which it begins with.
    prior_steps : int or None
        Where concepts are held out: fit a prior as well, whose samples take 1 or 2 steps.
    glm : GlmSpec or None
        How the recordings were made, where they are betas that were made from volumes.
    options : FitOptions, optional

    Returns
    -------
    Bundle
        Not yet saved.
    HeldOut
        What was decoded of what was held out.

    Raises
    ------
    DecodeStreamError
        If the recordings do not go together or hold too little, or training fails.
    """
    options = options or FitOptions()
    begun, learnt_first = options.start.given, options.start.learnt_first
    recipe = design(
        recordings,
        modality,
        channels,
        gallery,
        spec=trial_spec(model, modality, windows),
        marker_offset_s=marker_offset_s,
        onset_channel=onset_channel,
        lag_s=lag_s,
        width_s=width_s,
    )
    fit = fitter(model)
    if others:
        check_starts(model)
        # Whom public weights know is asked of one person's recordings alone.
        options = replace(options, start=replace(options.start, person=""))
    origin = check_network(model, recipe, options)
    if (check_memory := MODELS[model].check_memory) is not None:
        check_memory(recipe, recordings)
    if others:
        # What is held out later is nowhere to be seen before.
        known = recipe
        if protocol == "concepts":
            known = replace(recipe, gallery=gallery.rows(split_concepts(gallery, options.seed)[0]))
        theirs = {
            person: recipe_of_others(runs, known, recordings[0], channels, model)
            for person, runs in others.items()
        }
        if modality == "fmri":
            # Voxels that hold no data are refused before hours are spent on other people's.
            scaled(recipe, recordings)
        options = replace(options, start=replace(fit_others(theirs, others, fit, options), origin=origin))
    hold_out = fit_on_runs if protocol == "runs" else fit_on_concepts
    fitted = hold_out(recipe, recordings, fit, options)
    calibration = fitted.held_out.calibration()
    if left_out := fitted.left_out:
        options.report(f"{len(fitted.trials.labels)} trials fitted; left out: {left_out_told(left_out)}")
    options.report("exporting")
    training = Training(
        model=model,
        target=target,
        subjects=tuple(subjects),
        recordings=tuple(names) or tuple(r.name for r in recordings),
        fingerprints=tuple(fingerprints),
        n_trials=len(fitted.trials.labels),
        seed=options.seed,
        protocol=_sentence(protocol, recordings, fitted.recipe.gallery, begun=begun, glm=glm),
        scores=fitted.held_out.numbers(),
        knows_gallery=protocol == "runs",
        learnt_first=(
            *learnt_first,
            *(f"{', '.join(r.name for r in runs)} of {person}" for person, runs in (others or {}).items()),
        ),
        public=origin,
        asked=options.asked,
    )
    bundle = _bundle(name, fitted, calibration, training, glm)
    if prior_steps is not None:
        folds = prior_folds(model)
        part, told = prior_fitter()(fitted, fit, options, n_steps=prior_steps, n_folds=folds)
        bundle = replace(bundle, manifest=replace(bundle.manifest, prior=told), prior=part)
    return bundle, fitted.held_out


def _sentence(
    protocol: TrainingProtocol,
    recordings: Sequence[Recording],
    gallery: Gallery,
    *,
    begun: bool,
    glm: GlmSpec | None,
) -> str:
    """Return how the scores were obtained."""
    chosen = f"single trial, {len(gallery.names)}-way; calibrated on the others of what was held out"
    if glm is not None and glm.hrf == "library":
        # To choose without each run in turn, all betas of the others would be made anew for it.
        chosen += (
            "; each voxel's response was chosen on all recordings, so that the scores are a little too good"
        )
    if protocol == "runs":
        runs = f"{N_PARTS} parts" if len(recordings) == 1 else f"{len(recordings)} runs"
        return f"leave one of {runs} out, {chosen}"
    n_concepts = len(set(gallery.concepts or gallery.names))
    seen = ", and which the weights that it began with may know" if begun else ""
    return f"{n_concepts} concepts held out, which may have chosen among epochs and settings{seen}, {chosen}"


def _bundle(
    name: str, fitted: Fitted, calibration: Calibration, training: Training, glm: GlmSpec | None
) -> Bundle:
    recipe, trained, gallery = fitted.recipe, fitted.trained, fitted.recipe.gallery
    schedule, out = recipe.schedule, fitted.held_out.distances
    manifest = Manifest(
        name=name,
        modality=recipe.modality,
        chain=recipe.chain,
        window=recipe.window,
        length_s=float(schedule.length_s),
        step_s=float(schedule.step_s),
        lag_s=float(schedule.lag_s),
        first_s=None if schedule.first_s is None else float(schedule.first_s),
        n_latencies=recipe.n_latencies,
        space=gallery.space,
        structure=None if trained.structure is None else gallery.structure_space,
        gallery=gallery.names,
        labels=gallery.labels,
        calibration=calibration,
        training=training,
        versions=library_versions(),
        glm=glm,
    )
    compared = (
        gallery.embeddings if trained.projector is None else trained.projector.project(gallery.embeddings)
    )
    exported = trained.export(fitted.trials.windows[:4])
    return Bundle(
        manifest,
        exported.graph,
        compared,
        gallery.thumbnails,
        novelty=None if out is None else fit_novelty(fitted.familiar, out),
        projector=trained.projector,
        features=fitted.features,
        weights=dict(trained.weights or {}),
        encoder_data=exported.data,
        readout=fitted.readout(calibration),
    )


def train_bundle(paths: Sequence[Path], config: TrainConfig) -> int:
    """Train on files, save the bundle, and say what it reached; returns the exit code."""
    console = Console(stderr=True)
    out = config.out
    check_out(out, config.overwrite)
    start, begun = read_start(config.init_from, config.model)
    usual = default_model(config.modality, embeddings=config.target is not None)
    model = config.model or (usual if begun is None else known_model(begun.training.model))
    check_config(model, config)
    start = replace(start, person=config.subject or "")
    channels = start_channels(begun, config.channel_names, model)
    protocol = config.protocol or ("runs" if config.target is None else "concepts")
    with TrainingProgress(console) as progress, exhaustion_told(model):
        check = partial(
            check_early,
            config=config,
            model=model,
            channels=channels,
            start=start,
            begun=begun,
            n_given=len(paths),
        )
        given = open_training_set(paths, config, progress.pictures, check, progress.report)
        for recording in given.recordings:
            for note in recording.notes:
                console.print(f"{recording.name}: {note}", highlight=False, soft_wrap=True)
        state = out.with_name(f"{out.name}.training")
        options = FitOptions(
            seed=config.seed,
            start=start_for(start, begun, given.subject),
            folder=state,
            n_epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            loss=config.loss,
            schedule=config.schedule,
            nsd_split=config.nsd_split,
            report=progress.report,
            progress=progress.epoch,
        )
        bundle, held_out = train(
            given.recordings,
            name=out.name.removesuffix(".zip").removesuffix(".bundle"),
            modality=config.modality,
            model=model,
            gallery=given.gallery,
            protocol=protocol,
            windows=config.windows,
            target=config.target or "",
            subjects=(given.subject,) if given.subject else (),
            others=given.others,
            channels=channels,
            # Betas were made with the offset.
            marker_offset_s=config.marker_offset_ms / 1e3 if given.glm is None else 0.0,
            onset_channel=config.onset_channel,
            lag_s=config.lag_s,
            width_s=config.width_s,
            names=given.names,
            fingerprints=(*given.fingerprints, *(begun.training.fingerprints if begun is not None else ())),
            prior_steps=(config.prior_steps or 1) if config.prior else None,
            glm=given.glm,
            options=options,
        )
        bundle = replace(bundle, thumbnails=given.thumbnails(bundle.manifest.gallery))
        if config.modality == "fmri":
            space, reference = volume_space(given.path, whole_recording(given.recordings[0]))
            bundle = replace(
                bundle,
                manifest=replace(bundle.manifest, volume=space),
                regions=given.regions(bundle.manifest.chain.channels),
                reference=reference,
            )
        bundle = save_bundle(bundle, out, overwrite=config.overwrite)
    shutil.rmtree(state, ignore_errors=True)
    scores, numbers = held_out.scores, bundle.manifest.training.scores
    low, high = scores.interval(scores.hits())
    auc = f", AUC {numbers['auc']:.3f}" if "auc" in numbers else ""
    if (public := bundle.manifest.training.public) is not None:
        print(f"{out}: began with {public}")
    print(
        f"{out}: {model}, {bundle.manifest.training.n_trials} trials of {_told(given.recordings, protocol)}, "
        f"{(len(bundle.encoder) + len(bundle.encoder_data)) / 1e3:.0f} kB\n"
        f"{bundle.manifest.training.protocol}: top-1 {numbers['top1']:.3f} (95 % {low:.3f} to {high:.3f}, "
        f"{scores.interval_name}; chance {numbers['chance']:.3f}; n = {scores.n}){auc}, log loss "
        f"{numbers['log_loss']:.3f}"
    )
    if (prior := bundle.manifest.prior) is not None:
        print(f"prior: {prior}")
    return 0


def _told(recordings: Sequence[Recording], protocol: TrainingProtocol) -> str:
    if len(recordings) > 1:
        return f"{len(recordings)} runs"
    return f"{N_PARTS} parts of {recordings[0].name}" if protocol == "runs" else recordings[0].name
