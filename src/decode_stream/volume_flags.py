"""Flags of fMRI: of the model that makes betas from volumes, and of a scanner's folder."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from decode_stream.stream.errors import UsageError
from decode_stream.stream.fmri.glm_spec import GlmSpec, Noise

from .flag_groups import SCANNER, VOLUMES

if TYPE_CHECKING:
    from .config import SessionConfig

__all__ = ["BetaFlags", "RunFlags", "check_run"]

#: Flags of the model that makes betas from volumes, which are fields of `GlmSpec`.
_GLM_FLAGS = ("hrf", "stimulus_s", "decide_s", "high_pass_s", "noise", "nuisance_penalty")


@dataclass(frozen=True, kw_only=True)
class BetaFlags:
    """How betas are made from volumes."""

    hrf: Annotated[Literal["glover", "spm", "library"] | None, Parameter(group=VOLUMES)] = None
    """fmri: make a beta of each trial from volumes by a model of the run so far, with this response; library is a
    response for each voxel, chosen by all runs of a training. Where there is a bundle, by default as it was trained."""
    stimulus_s: Annotated[float | None, Parameter(group=VOLUMES)] = None
    """--hrf: how long every stimulus is shown; by default as the events say of each, 3 s where they do not [s]."""
    decide_s: Annotated[float | None, Parameter(group=VOLUMES)] = None
    """--hrf: a trial is decided so long after its onset, 8 s by default [s]."""
    high_pass_s: Annotated[float | None, Parameter(group=VOLUMES)] = None
    """--hrf: slower drifts than of this period are taken out, 128 s by default; 0 takes out none [s]."""
    noise: Annotated[Noise | None, Parameter(group=VOLUMES)] = None
    """--hrf: whether the noise of a volume goes on in the next: ar1 (default), or ols for noise that does not."""
    confounds: Annotated[str | None, Parameter(group=VOLUMES)] = None
    """--hrf: motion, none, or names of channels, separated by commas; by default motion where it is recorded."""
    nuisance_penalty: Annotated[float | None, Parameter(group=VOLUMES)] = None
    """--hrf: ridge penalty on drifts and confounds, which are many early in a run, 10 by default; 0 for none."""

    def check_glm(self) -> None:
        """Refuse flags that make no model.

        Raises
        ------
        UsageError
        """
        try:
            self.glm_spec()
        except ValueError as error:
            text = str(error)
            for name in _GLM_FLAGS:
                text = text.replace(name, f"--{name.replace('_', '-')}")
            raise UsageError(text) from error

    def glm_flags(self) -> dict[str, object]:
        """Return the flags that are given of the model that makes betas, by the fields of `GlmSpec`."""
        given = {name: getattr(self, name) for name in _GLM_FLAGS if getattr(self, name) is not None}
        if given.get("high_pass_s") == 0:
            given["high_pass_s"] = None
        return given

    def glm_spec(self) -> GlmSpec:
        """Return the model that the flags ask for, its confounds left open."""
        return GlmSpec(**self.glm_flags(), own_durations=self.stimulus_s is None)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How a run is taken in: its betas, and a scanner's folder."""

    statistics: Annotated[Literal["frozen", "running"] | None, Parameter(group=VOLUMES)] = None
    """Betas: standardised by the bundle's level and spread of each voxel (frozen, the default), or by those of all
    betas of the session so far (running), as real-time MindEye does."""
    warm_up: Annotated[int | None, Parameter(group=VOLUMES)] = None
    """--statistics running: with so many betas, 20 by default, the first is decoded."""
    run_volumes: Annotated[int | None, Parameter(group=VOLUMES)] = None
    """Betas: how many volumes the run will have, for which the model of drifts is made; by default as many as the
    replay, or as the longest run of the training. --watch: the session ends with the last of them."""

    watch: Annotated[Path | None, Parameter(group=SCANNER)] = None
    """Decode the volumes that a scanner writes into this folder, NIfTI or DICOM, instead of a stream."""
    series: Annotated[str | None, Parameter(group=SCANNER)] = None
    """--watch: which series, by its number, description or UID; by default the first that is there."""
    tr_s: Annotated[float | None, Parameter(group=SCANNER)] = None
    """--watch: time from volume to volume, where the files do not say it [s]."""
    onsets: Annotated[Path | None, Parameter(group=SCANNER)] = None
    """--watch: BIDS's table of events (.tsv), onsets counted from the first volume; by default markers over LSL."""
    first_volume: Annotated[str | None, Parameter(group=SCANNER)] = None
    """--watch: marker that tells when the first volume begins, such as a scanner's pulse; by default one repetition
    time before it comes."""
    reference: Annotated[Path | None, Parameter(group=SCANNER)] = None
    """--watch: NIfTI volume that the others are brought to; by default the bundle's, else the first of the run."""
    motion_correction: Annotated[bool, Parameter(group=SCANNER)] = True
    """--watch: bring each volume to the reference."""
    journal: Annotated[Path | None, Parameter(group=SCANNER)] = None
    """--watch: file that keeps what came in, from which a session that was ended goes on; by default beside the
    folder."""


def check_run(config: "SessionConfig") -> None:
    """Refuse settings of a run that do not go together, or with a scanner's folder.

    Raises
    ------
    UsageError
    """
    if config.run_volumes is not None and config.run_volumes < 1:
        raise UsageError(f"--run-volumes is {config.run_volumes}; a run has 1 or more.")
    if config.warm_up is not None and (config.statistics != "running" or config.warm_up < 2):
        raise UsageError(
            f"--warm-up is {config.warm_up}; it belongs to --statistics running, which needs 2 betas or more."
        )
    if config.mask is not None and not config.replay:
        raise UsageError("--mask belongs to --replay RECORDING; a live stream has the voxels that it sends.")
    names = ("series", "tr_s", "onsets", "first_volume", "reference", "journal")
    given = [name for name in names if getattr(config, name) is not None]
    given += [] if config.motion_correction else ["no_motion_correction"]
    if config.watch is None:
        if given:
            raise UsageError(
                f"--{given[0].replace('_', '-')} belongs to --watch FOLDER, the folder of a scanner."
            )
        return
    others = ("replay", "stream", "source_id", "predicate", "unit", "onset_channel")
    wrong = [f"--{name.replace('_', '-')}" for name in others if getattr(config, name) is not None]
    if config.demo or wrong:
        raise UsageError(f"--watch takes volumes from a folder; leave out {wrong[0] if wrong else '--demo'}.")
    if config.modality not in (None, "fmri"):
        raise UsageError(f"--watch takes volumes of fmri; --modality is {config.modality}. Leave it out.")
    if config.tr_s is not None and not 0 < config.tr_s < inf:
        raise UsageError(f"--tr-s is {config.tr_s:g}; it must be above 0.")
    if config.onsets is not None and (config.markers is not None or config.first_volume is not None):
        raise UsageError(
            "--onsets counts from the first volume; --markers and --first-volume are of markers over LSL. Give one "
            "or the other."
        )
    if config.reference is not None and not config.motion_correction:
        raise UsageError("--reference is what motion correction brings volumes to; leave one out.")
