"""Which model makes betas from volumes: as the flags ask, and as a bundle was trained."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from decode_stream.config import Reading
from decode_stream.decoders.manifest import Manifest
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.fmri.beta_recording import BetaRecording, beta_recording, holds_betas, whole_run
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.hrf_choice import chosen_shapes
from decode_stream.stream.recording import Recording, n_missing
from decode_stream.stream.types import MOTION

__all__ = [
    "bundle_glm",
    "check_same_glm",
    "decoded_recording",
    "glm_words",
    "same_tr",
    "tr_told",
    "training_betas",
]

#: Repetition times that differ by less are the same, written with fewer digits.
_SAME_TR = 1e-3


def training_betas(
    recordings: Sequence[Recording], config: Reading, report: Callable[[str], None]
) -> tuple[list[Recording], GlmSpec | None]:
    """Return the betas of recordings of volumes, where the flags ask for them, and the model that made them.

    Parameters
    ----------
    report : callable
        Is told of each recording when it is done.

    Returns
    -------
    list of Recording
        As they are where no betas are asked for.
    GlmSpec or None
        With the length of the longest run.

    Raises
    ------
    DecodeStreamError
        If the flags do not go together, or a recording has no volumes or lacks a confound.
    """
    given = config.glm_flags()
    if config.hrf is None:
        if given or config.confounds is not None:
            raise UsageError(
                f"{_flag(next(iter(given), 'confounds'))} belongs to --hrf, which asks for betas."
            )
        return list(recordings), None
    for recording in recordings:
        if holds_betas(recording):
            raise RecordingError(f"{recording.name} holds betas already: leave out --hrf.")
    names = [{channel.name for channel in recording.channels} for recording in recordings]
    longest = max(_n_volumes(recording) for recording in recordings)
    spec = replace(config.glm_spec(), confounds=_confounds(config.confounds, names), planned_volumes=longest)
    _check_onset_channel(config)
    offset_s = config.marker_offset_ms / 1e3
    if spec.hrf == "library":
        report("choosing each voxel's response")
        runs = (whole_run(recording, spec, offset_s) for recording in recordings)
        try:
            spec = replace(spec, hrf_of_voxel=chosen_shapes(runs, spec, 1 / recordings[0].sfreq_hz))
        except ValueError as error:
            raise RecordingError(
                f"The response of each voxel cannot be chosen: {error} Give runs of the same voxels, with more volumes "
                "than trials, or --hrf glover."
            ) from error
    made = [beta_recording(r, spec, marker_offset_s=offset_s, report=report) for r in recordings]
    return list(made), spec


def bundle_glm(manifest: Manifest, config: Reading, names: Iterable[str]) -> GlmSpec | None:
    """Return the model that makes betas for a bundle; None where the flags and the bundle ask for none.

    Parameters
    ----------
    names : iterable of str
        Channels of the recording or the stream.

    Raises
    ------
    UsageError
        If the flags say otherwise than the bundle, or it does not decode betas.
    """
    given = config.glm_flags()
    asked = bool(given) or config.confounds is not None
    if manifest.glm is None and config.hrf is None:
        if asked:
            raise UsageError(
                f"{_flag(next(iter(given), 'confounds'))} belongs to --hrf, which asks for betas."
            )
        return None
    if manifest.glm is None:
        if not manifest.of_betas:
            what = "means of volumes" if manifest.modality == "fmri" else manifest.modality
            raise UsageError(
                f"--hrf makes betas, and {manifest.name!r} decodes {what}. Leave it out, or train with it."
            )
        if config.hrf == "library":
            raise UsageError(
                "--hrf library has a response for each voxel, which a training on volumes chooses; "
                f"{manifest.name!r} was trained on betas that came as they were. Give --hrf glover."
            )
        return replace(config.glm_spec(), confounds=_confounds(config.confounds, [set(names)]))
    _check_onset_channel(config)
    for name, value in given.items():
        own = getattr(manifest.glm, name)
        if name == "stimulus_s" and manifest.glm.own_durations:
            own = "the duration of each stimulus"
        if own != value:
            raise UsageError(
                f"{_flag(name)} is {value}, and the betas that {manifest.name!r} was trained on were made with {own}. "
                "Leave the flag out, or train with it."
            )
    if config.confounds is not None and _confounds(config.confounds, [set(names)]) != manifest.glm.confounds:
        own = ",".join(manifest.glm.confounds) or "none"
        raise UsageError(
            f"--confounds is {config.confounds}, and the betas that {manifest.name!r} was trained on were made with "
            f"{own}. Leave the flag out, or train with it."
        )
    return manifest.glm


def decoded_recording(
    recording: Recording, manifest: Manifest, config: Reading, report: Callable[[str], None] | None = None
) -> tuple[Recording, float]:
    """Return what a bundle decodes of a recording, and what is still to be added to its markers, in seconds.

    Volumes are led through the model that makes betas, where the bundle decodes these; the markers' offset is then
    in the model already.

    Raises
    ------
    DecodeStreamError
        If the recording holds volumes and nothing says how betas are made from them, or is at another rate.
    """
    offset_s = config.marker_offset_ms / 1e3
    if manifest.modality != "fmri" or holds_betas(recording):
        if config.hrf is not None:
            raise UsageError(
                f"{recording.name} holds no volumes of fMRI to make betas from: leave out --hrf."
            )
        return recording, offset_s
    spec = bundle_glm(manifest, config, (channel.name for channel in recording.channels))
    if spec is None:
        if manifest.of_betas and recording.epoch is None:
            raise UsageError(
                f"{recording.name} holds volumes, and {manifest.name!r} decodes betas that came as they were. Say how "
                "to make them from volumes: --hrf glover."
            )
        return recording, offset_s
    if told := tr_told(manifest, 1 / recording.sfreq_hz, recording.name):
        raise RecordingError(told)
    made = beta_recording(
        recording,
        spec,
        voxels=manifest.chain.channels,
        sfreq_hz=manifest.chain.sfreq_hz,
        marker_offset_s=offset_s,
        report=report,
    )
    return made, 0.0


def check_same_glm(begun: Manifest, recording: Recording) -> None:
    """Refuse to train a bundle's network on with betas of another model than its own.

    Betas that came as they were, such as published ones, may be followed by those of any model.

    Raises
    ------
    UsageError
    """
    own = begun.glm
    if own is None:
        return
    told = f"The bundle given to --init-from decodes betas that were made from volumes ({glm_words(own)})"
    if not isinstance(recording, BetaRecording):
        raise UsageError(f"{told}. Give the same flags, beginning with --hrf {own.hrf}.")
    if replace(recording.spec, planned_volumes=own.planned_volumes) != own:
        raise UsageError(
            f"{told}, and these are made otherwise ({glm_words(recording.spec)}). Give the same flags."
        )


def glm_words(spec: GlmSpec) -> str:
    """Return in words how betas are made from volumes."""
    noise = {"ar1": "autoregressive noise", "ols": "white noise"}[spec.noise]
    drift = "no drifts" if spec.high_pass_s is None else f"drifts slower than {spec.high_pass_s:g} s"
    penalty = f" with a penalty of {spec.nuisance_penalty:g}" if spec.nuisance_penalty else ""
    shown = f"{'each own duration, or ' if spec.own_durations else ''}{spec.stimulus_s:g} s"
    return (
        f"response {spec.hrf} to {shown}, {drift}, confounds {', '.join(spec.confounds) or 'none'}"
        f"{penalty}, {noise}; decided {spec.decide_s:g} s after the onset"
    )


def same_tr(tr_s: float, own_s: float) -> bool:
    """Return whether a repetition time is that of a decoder, though it may be written with fewer digits."""
    return abs(tr_s - own_s) <= _SAME_TR * own_s


def tr_told(manifest: Manifest, tr_s: float, what: str) -> str:
    """Return in words what is wrong with volumes at another repetition time than that of a bundle's betas; else ""."""
    own_s = 1 / manifest.chain.sfreq_hz
    if manifest.glm is None or same_tr(tr_s, own_s):
        return ""
    return (
        f"{what} has a volume every {tr_s:.4g} s, and the betas of {manifest.name!r} were made from volumes every "
        f"{own_s:.4g} s. Record at that repetition time, or train on recordings at this one."
    )


def _n_volumes(recording: Recording) -> int:
    return recording.n_samples + sum(n_missing(gap, recording.sfreq_hz) for gap in recording.gaps)


def _confounds(asked: str | None, names: Sequence[set[str]]) -> tuple[str, ...]:
    """Return the names of the confounds; where nothing is asked for motion, if all have it."""
    if asked == "none" or (asked is None and not all(own >= set(MOTION) for own in names)):
        return ()
    if asked in (None, "motion"):
        return MOTION
    return tuple(name.strip() for name in str(asked).split(","))


def _check_onset_channel(config: Reading) -> None:
    if config.onset_channel is not None:
        raise UsageError(
            "--onset-channel corrects markers by samples; volumes come seconds apart. Leave it out."
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
