"""What the commands of ``decode-stream brain`` are asked for."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from decode_stream.config import Provider, Reading
from decode_stream.stream.errors import UsageError

__all__ = [
    "CeilingConfig",
    "CycleConfig",
    "EncodeConfig",
    "InterpolateConfig",
    "Mapped",
    "WeightsConfig",
    "WhatIfConfig",
]

_DECODER = Group.create_ordered("Decoder")
_VOXELS = Group.create_ordered("Voxels")
_OUTPUT = Group.create_ordered("Output")
_MOST_STEPS = 1001


@dataclass(frozen=True, kw_only=True)
class _Told(Reading):
    """What every command takes and gives."""

    json: Annotated[Path | None, Parameter(group=_OUTPUT)] = None
    """Write all that is told to this file."""
    figure: Annotated[Path | None, Parameter(group=_OUTPUT)] = None
    """Draw it, as .png, .svg or .pdf."""


@dataclass(frozen=True, kw_only=True)
class Mapped(_Told):
    """What commands take and give that tell something of every voxel."""

    region: Annotated[tuple[str, ...], Parameter(group=_VOXELS, negative=())] = ()
    """Regions to tell of: every one of an atlas (streams), some together (prf-visualrois=V1v,V1d), or the path of a
    mask. By default those of streams, or of every atlas there is."""
    nifti: Annotated[Path | None, Parameter(group=_OUTPUT)] = None
    """Write the map on the recording's grid, as .nii.gz."""


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """When the answer to a picture is read, where there is no bundle to say it."""

    lag_s: Annotated[float | None, Parameter(group=_VOXELS)] = None
    """Volumes: time from the onset until the answer is read, 4 s by default [s]."""
    width_s: Annotated[float | None, Parameter(group=_VOXELS)] = None
    """Volumes: for how long it is read, 4 s by default; for blocks their length [s]."""


@dataclass(frozen=True, kw_only=True)
class _Decoding:
    """The decoder."""

    bundle: Annotated[Path, Parameter(group=_DECODER)]
    """A bundle of fMRI: its folder or .zip."""
    provider: Annotated[Provider, Parameter(group=_DECODER)] = "cpu"
    """What runs it."""


@dataclass(frozen=True, kw_only=True)
class CeilingConfig(Mapped, _Answers):
    """Settings of a noise ceiling."""

    repeats: Annotated[int, Parameter(group=_VOXELS)] = 1
    """Over how many trials of a picture answers are averaged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1:
            raise UsageError(f"--repeats is {self.repeats}; it must be 1 or more.")


@dataclass(frozen=True, kw_only=True)
class WeightsConfig(Mapped, _Decoding):
    """Settings of a map of weights."""

    entry: Annotated[str | None, Parameter(group=_VOXELS)] = None
    """Tell how voxels move with the score of this entry of the gallery, instead of with all that is decoded."""
    map: Annotated[Literal["pattern", "sensitivity"], Parameter(group=_VOXELS)] = "pattern"
    """What --nifti holds: the activation pattern, or how much the decoder listens to each voxel."""
    around: Annotated[int, Parameter(group=_VOXELS)] = 2
    """Trials around which sensitivity is measured; each takes two runs of the decoder a voxel."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.around < 1:
            raise UsageError(f"--around is {self.around}; it must be 1 or more.")


@dataclass(frozen=True, kw_only=True)
class EncodeConfig(Mapped, _Answers):
    """Settings of an encoding model; without a target, what the markers name are categories."""

    target: Annotated[str | None, Parameter(group=_DECODER)] = None
    """What the pictures' embeddings are made by, as in train."""
    images: Annotated[Path | None, Parameter(group=_DECODER)] = None
    """Folder of the pictures; by default looked for beside the recordings."""
    captions: Annotated[Path | None, Parameter(group=_DECODER)] = None
    """open_clip_text: COCO's captions, as in train."""
    ncsnr: Annotated[Path | None, Parameter(group=_VOXELS)] = None
    """Compare with this ceiling, an image such as NSD's ncsnr.nii.gz; by default with that of the recordings."""
    map: Annotated[Literal["correlation", "normalised"], Parameter(group=_VOXELS)] = "correlation"
    """What --nifti holds: the correlation, or its share of the highest that noise allows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None and self.events is not None:
            raise UsageError("With --target the pictures are the stimuli; leave out --events.")


@dataclass(frozen=True, kw_only=True)
class CycleConfig(_Told, _Decoding):
    """Settings of the way from embeddings to voxels and back."""

    images: Annotated[Path | None, Parameter(group=_DECODER)] = None
    """Folder of the pictures; by default looked for beside the recordings."""
    captions: Annotated[Path | None, Parameter(group=_DECODER)] = None
    """open_clip_text: COCO's captions, as in train."""


@dataclass(frozen=True, kw_only=True)
class WhatIfConfig(_Told, _Decoding):
    """Settings of silenced and raised regions."""

    region: Annotated[tuple[str, ...], Parameter(group=_VOXELS, negative=())] = ()
    """As in ceiling; each is changed by itself."""
    raise_sd: Annotated[float | None, Parameter(group=_VOXELS)] = None
    """Add so many training standard deviations; without it the region is silenced, as by the mean picture."""
    trial: Annotated[int | None, Parameter(group=_VOXELS)] = None
    """Tell of this trial alone, counted from 1 over all recordings; by default of all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.raise_sd is not None and not (isfinite(self.raise_sd) and self.raise_sd):
            raise UsageError(
                f"--raise-sd is {self.raise_sd:g}; it is a number of standard deviations other than 0. Leave it out to "
                "silence the region."
            )


@dataclass(frozen=True, kw_only=True)
class InterpolateConfig(_Told, _Decoding):
    """Settings of the way between two scans."""

    between: Annotated[tuple[int, int], Parameter(group=_VOXELS)]
    """Two trials, counted from 1 over all recordings, as in --between 3 17."""
    steps: Annotated[int, Parameter(group=_VOXELS)] = 11
    """Where to decode on the way, with both ends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.steps <= _MOST_STEPS:
            raise UsageError(f"--steps is {self.steps}; it lies between 2 and {_MOST_STEPS}.")
