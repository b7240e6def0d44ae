"""What a session is asked to do: the one truth behind flags, configuration files and the saved summary."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from decode_stream.decoders.inference.providers import Provider
from decode_stream.decoders.training.schedules import Schedule
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

from .flag_groups import DECODER, GENERATOR, MARKERS, OUTPUT, PROTOCOL, REPLAY, SOURCE
from .volume_flags import BetaFlags, RunFlags, check_run

__all__ = [
    "EvaluateConfig",
    "GalleryConfig",
    "Loss",
    "Modality",
    "Model",
    "NsdSplit",
    "Provider",
    "Reading",
    "RidgeModel",
    "Schedule",
    "SessionConfig",
    "TrainConfig",
    "parse_events",
]

Model = Literal[
    "channel-attention",
    "encoding",
    "linear",
    "lda",
    "ridge",
    "takagi",
    "brain-diffuser",
    "minddiffuser",
    "nice",
    "nice-sa",
    "nice-ga",
    "atm-s",
    "eegnet",
    "projection",
    "neurobridge",
    "spatial-attention",
    "mind-reader",
    "mindeye",
    "mindeye2",
]
#: Those that are ridge regressions of volumes.
RidgeModel = Literal["ridge", "takagi", "brain-diffuser", "minddiffuser"]
Loss = Literal[
    "info-nce",
    "soft-clip",
    "bimixco",
    "mse-cosine",
    "mse-cosine-contrast",
    "clip-mse",
    "atm-reconstruction",
]
TrainingProtocol = Literal["runs", "concepts"]
NsdSplit = Literal["mindeye", "mindeye2", "mind-reader"]


@dataclass(frozen=True, kw_only=True)
class Reading(BetaFlags):
    """How recordings and markers are read, from files or from a stream."""

    mask: Annotated[str | None, Parameter(group=SOURCE)] = None
    """fMRI recordings: which voxels, a region of interest by name or the path of a mask."""

    events: Annotated[str | None, Parameter(group=MARKERS)] = None
    """Names of marker codes, as in 1=house,2=face; where there is a bundle, by default those of it."""
    marker_column: Annotated[str | None, Parameter(group=MARKERS)] = None
    """Marker column of CSV recordings."""
    marker_offset_ms: Annotated[float, Parameter(group=MARKERS)] = 0.0
    """Added to the time of every marker [ms]; positive if the picture comes after its marker."""
    onset_channel: Annotated[str | None, Parameter(group=MARKERS)] = None
    """Photodiode or trigger channel whose rising edges correct the markers, within 100 ms."""

    def __post_init__(self) -> None:
        parse_events(self.events)
        _check_offset(self.marker_offset_ms)
        self.check_glm()


@dataclass(frozen=True, kw_only=True)
class SessionConfig(RunFlags, Reading):
    """Settings of a session."""

    modality: Annotated[Modality | None, Parameter(group=SOURCE)] = None
    """What is measured; by default what the bundle was trained on."""
    stream: Annotated[str | None, Parameter(group=SOURCE)] = None
    """Name of the LSL stream; by default the only one of the modality's type."""
    source_id: Annotated[str | None, Parameter(group=SOURCE)] = None
    """source_id of the LSL stream, where names are not enough."""
    predicate: Annotated[str | None, Parameter(group=SOURCE)] = None
    """Any other condition in liblsl's query language, such as "hostname='scanner'"."""
    wait_s: Annotated[float, Parameter(group=SOURCE)] = 10.0
    """Seconds to wait for the stream [s]."""
    unit: Annotated[str | None, Parameter(group=SOURCE)] = None
    """Unit of the signal where the stream does not say it: V, uV, T, fT, ..."""
    clocksync: Annotated[bool, Parameter(group=SOURCE)] = True
    """Bring the stamps of other machines onto this machine's clock."""
    counter_channel: Annotated[str | None, Parameter(group=SOURCE)] = None
    """Channel that carries a running sample number: losses are then counted exactly."""

    markers: Annotated[str | None, Parameter(group=MARKERS)] = None
    """Name of the marker stream; by default the one the signal names, or the only one there is."""

    bundle: Annotated[Path | None, Parameter(group=DECODER)] = None
    """The decoder: a bundle's folder or .zip. Without one the signal is shown, not decoded."""
    provider: Annotated[Provider, Parameter(group=DECODER)] = "auto"
    """What runs the networks: by default the best of these that works here, and what was passed over is told."""

    generator: Annotated[Path | None, Parameter(group=GENERATOR)] = None
    """What draws pictures of what is decoded: a generator's folder or .zip, or none; by default the one that comes with
    the program, where it draws the bundle's embeddings."""
    steps: Annotated[Literal[1, 2, 4] | None, Parameter(group=GENERATOR)] = None
    """Steps of each picture; by default the fewest that the generator can."""
    generator_seed: Annotated[int, Parameter(group=GENERATOR)] = 0
    """Of the noise that all pictures of the session are drawn from."""

    replay: Annotated[Path | None, Parameter(group=REPLAY)] = None
    """Play this recording over LSL and decode it."""
    demo: Annotated[bool, Parameter(group=REPLAY, negative=())] = False
    """Play the simulated recording that comes with the program, with its bundle where --bundle names no other."""
    loop: Annotated[bool, Parameter(group=REPLAY, negative=())] = False
    """Start the recording again at its end."""
    start_s: Annotated[float, Parameter(group=REPLAY)] = 0.0
    """Where in the recording to start [s]."""
    speed: Annotated[float, Parameter(group=REPLAY)] = 1.0
    """How many times faster than recorded."""

    headless: Annotated[bool, Parameter(group=OUTPUT, negative=())] = False
    """Show the session in the terminal instead of a window."""
    duration_s: Annotated[float | None, Parameter(group=OUTPUT)] = None
    """End after so many seconds of signal [s]."""
    json: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write the session's summary to this file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, low in (("wait-s", self.wait_s, 0.0), ("start-s", self.start_s, 0.0)):
            if not value >= low:
                raise UsageError(f"--{name} is {value:g}; it must be {low:g} or more.")
        if not 0.01 <= self.speed <= 100:
            raise UsageError(f"--speed is {self.speed:g}; it must lie between 0.01 and 100.")
        if self.duration_s is not None and not self.duration_s > 0:
            raise UsageError(f"--duration-s is {self.duration_s:g}; it must be above 0.")
        check_run(self)
        self._check_generator()
        if self.demo and self.replay:
            raise UsageError("--demo plays the recording that comes with the program; leave out --replay.")
        if not (self.replay or self.demo) and (self.loop or self.start_s or self.speed != 1.0):
            raise UsageError(
                "--loop, --start-s and --speed belong to --replay RECORDING; a live stream has none."
            )

    @property
    def draws(self) -> bool:
        """Whether pictures are drawn where a generator fits the bundle."""
        return self.generator != Path("none")

    def _check_generator(self) -> None:
        if self.generator_seed < 0:
            raise UsageError(f"--generator-seed is {self.generator_seed}; seeds count from 0.")
        if not self.draws and (self.steps is not None or self.generator_seed):
            raise UsageError(
                "--steps and --generator-seed are of pictures, and --generator none draws none; leave them out."
            )
        if self.generator is not None and self.draws and not (self.bundle or self.demo):
            raise UsageError("--generator draws what a bundle decodes: give --bundle PATH as well.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Reading):
    """Settings of a training; without a target, the names given to codes are the gallery."""

    modality: Annotated[Modality, Parameter(group=SOURCE)]
    """Which channels are used, and how they are filtered."""
    channels: Annotated[str | None, Parameter(group=SOURCE)] = None
    """Channels to use, separated by commas; by default all of the modality, or those of the bundle of --init-from."""
    model: Annotated[Model | None, Parameter(group=DECODER)] = None
    """The encoder; by default channel-attention, with --target encoding, of fmri ridge, or what --init-from is of."""
    windows: Annotated[Literal["growing", "whole"], Parameter(group=DECODER)] = "growing"
    """Encoders of whole trials: decode each trial while it grows, or once, when it is whole."""
    target: Annotated[str | None, Parameter(group=DECODER)] = None
    """What the pictures' embeddings are made by, such as objects or open_clip:MODEL:WEIGHTS; without it, categories."""
    structure: Annotated[str | None, Parameter(group=DECODER)] = None
    """Networks: the target of a second head, such as colour-layout, vae:FOLDER or a shallow layer."""
    images: Annotated[Path | None, Parameter(group=DECODER)] = None
    """Folder of the pictures; by default looked for beside the recordings."""
    captions: Annotated[Path | None, Parameter(group=DECODER)] = None
    """open_clip_text: COCO's captions_*.json, or a folder of them; by default a sentence of each picture's concept."""
    protocol: Annotated[TrainingProtocol | None, Parameter(group=DECODER)] = None
    """What is held out to calibrate: runs in turn (default for categories) or concepts (default for a target)."""
    nsd_split: Annotated[NsdSplit | None, Parameter(group=SOURCE)] = None
    """NSD: train on no trial that the paper tests on, of the sessions that it uses; by default on no shared picture."""
    subject: Annotated[str | None, Parameter(group=DECODER)] = None
    """Whose decoder it is, where recordings are of several: it is fine-tuned to them. With weights of public ATM-S: the
    person whose token is taken."""
    init_from: Annotated[tuple[Path, ...], Parameter(group=DECODER, negative=())] = ()
    """Begin with these weights: a bundle, or the files that the model's public code has saved."""
    lag_s: Annotated[float | None, Parameter(group=DECODER)] = None
    """fmri: time from the onset until the answer is read, 4 s by default [s]."""
    width_s: Annotated[float | None, Parameter(group=DECODER)] = None
    """fmri: for how long it is read, 4 s by default; for blocks their length [s]."""
    epochs: Annotated[int | None, Parameter(group=DECODER)] = None
    """Passes of a network over the trials; by default its paper's."""
    batch_size: Annotated[int | None, Parameter(group=DECODER)] = None
    """Trials a step; by default its paper's."""
    learning_rate: Annotated[float | None, Parameter(group=DECODER)] = None
    """The highest; by default its paper's, and a tenth of it with --init-from."""
    loss: Annotated[Loss | None, Parameter(group=DECODER)] = None
    """Of a network with --target; by default its paper's.

    info-nce tells pictures apart (CLIP; NICE: Song et al. 2024).
    soft-clip asks for the pictures' likeness to each other (MindEye: Scotti et al. 2023).
    bimixco mixes trials for a third of the epochs, then is soft-clip (MindEye).
    mse-cosine regresses the embedding (Mind Reader: Lin et al. 2022).
    mse-cosine-contrast adds info-nce in the second half (Mind Reader).
    clip-mse is 3/4 contrast, 1/4 regression (Benchetrit et al. 2024).
    atm-reconstruction is 1/10 contrast, 9/10 regression (Li et al. 2024)."""
    schedule: Annotated[Schedule | None, Parameter(group=DECODER)] = None
    """Of a network's learning rate; by default its paper's.

    constant leaves it as it is (NICE, ATM-S).
    step takes four fifths of it every 10 epochs (Mind Reader).
    cosine lets it fall to 0 (Loshchilov and Hutter 2017).
    one-cycle lets it rise for a fifth of the steps, then fall (Smith and Topin 2019; MindEye)."""
    prior: Annotated[bool, Parameter(group=DECODER, negative=())] = False
    """With --target: fit a diffusion prior as well, which draws embeddings as pictures have them for a generator of
    pictures (MindEye: Scotti et al. 2023). The model is fitted several times more for it."""
    prior_steps: Annotated[int | None, Parameter(group=DECODER)] = None
    """Evaluations of the prior that a sample takes: 1 or 2, 1 by default."""
    seed: Annotated[int, Parameter(group=DECODER)] = 0
    """Of everything random."""
    out: Annotated[Path, Parameter(group=OUTPUT)]
    """The bundle's folder, or a file that ends in .zip."""
    overwrite: Annotated[bool, Parameter(group=OUTPUT, negative=())] = False
    """Replace a bundle that stands there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"--epochs is {self.epochs}; it must be 1 or more.")
        if self.batch_size is not None and self.batch_size < 3:
            raise UsageError(
                f"--batch-size is {self.batch_size}; it must be 3 or more, for a trial alone has nothing to be told "
                "from. Give --batch-size 3, or leave it out for the paper's."
            )
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(f"--learning-rate is {self.learning_rate:g}; it must be above 0.")
        if self.nsd_split is not None and self.modality != "fmri":
            raise UsageError("--nsd-split divides recordings of NSD, which are of --modality fmri.")
        if self.hrf is not None and self.modality != "fmri":
            raise UsageError(
                f"--hrf makes betas from volumes, which {self.modality} has none of. Leave it out."
            )
        if self.hrf == "library" and self.channels is not None:
            raise UsageError(
                "--hrf library chooses a response for every voxel; take fewer by --mask, not --channels."
            )
        if self.hrf == "library" and self.nsd_split is not None:
            raise UsageError(
                "--hrf library chooses each voxel's response by all volumes that are given, and with --nsd-split those "
                "of trials to be tested on are among them. Give --hrf glover."
            )
        if self.hrf is not None and (self.lag_s is not None or self.width_s is not None):
            raise UsageError(
                "--lag-s and --width-s read volumes as they are; --hrf makes betas. Give one or the other."
            )
        if self.structure is not None and self.target is None:
            raise UsageError("--structure is the target of a second head; the first one's is --target.")
        if self.loss is not None and self.target is None:
            raise UsageError(
                "--loss is between embeddings: it belongs to --target. Categories have a loss of their own."
            )
        if self.prior_steps is not None and (not self.prior or self.prior_steps not in (1, 2)):
            raise UsageError(
                f"--prior-steps is {self.prior_steps}; it belongs to --prior, which draws a sample in 1 or 2 steps."
            )
        if self.prior and self.target is None:
            raise UsageError(
                "--prior draws embeddings as pictures have them: it belongs to --target. Categories have none."
            )
        if self.prior and self.protocol == "runs":
            raise UsageError(
                "--prior is scored on pictures that were held out: leave out --protocol runs, or --prior."
            )
        if self.images is not None and self.target is None:
            raise UsageError("--images belongs to --target, which says what is made of the pictures.")
        _check_captions(self.captions, self.target)
        if self.target is not None and self.events is not None:
            raise UsageError(
                "With --target the pictures are the stimuli; leave out --events, or --target for categories."
            )

    @property
    def channel_names(self) -> tuple[str, ...] | None:
        """The channels to use, or None for all of the modality."""
        return None if self.channels is None else tuple(name.strip() for name in self.channels.split(","))


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Reading):
    """Settings of an evaluation; names of codes are by default those of the bundle."""

    bundle: Annotated[Path | None, Parameter(group=DECODER)] = None
    """The decoder: a bundle's folder or .zip. None to join summaries that evaluations have written."""
    others: Annotated[tuple[Path, ...], Parameter(name="--with", group=DECODER, negative=())] = ()
    """combined: another decoder of the same recordings and pictures; may be given several times."""
    provider: Annotated[Provider, Parameter(group=DECODER)] = "auto"
    """What runs the networks: by default the best of these that works here, and what was passed over is told."""
    nsd_split: Annotated[NsdSplit | None, Parameter(group=SOURCE)] = None
    """NSD: score only the trials that the paper tests on."""
    protocol: Annotated[str, Parameter(group=PROTOCOL)] = "exact"
    """What to measure, separated by commas; list says what there is."""
    transductive: Annotated[str | None, Parameter(group=PROTOCOL)] = None
    """Numbers that use the whole test set and are never possible live: standardise, assign."""
    centres: Annotated[Path | None, Parameter(group=PROTOCOL)] = None
    """concept, categories: a bundle whose gallery holds other pictures; by default the bundle's own."""
    categories: Annotated[Path | None, Parameter(group=PROTOCOL)] = None
    """categories: COCO's instances_*.json, a folder of them, or a CSV of picture,category; by default the concepts."""
    seed: Annotated[int, Parameter(group=PROTOCOL)] = 0
    """Of shuffles, draws and groups."""
    json: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write the scores, and each trial's evidence, to this file."""
    figure: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Draw what was measured, as .png, .svg or .pdf."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; seeds count from 0.")


@dataclass(frozen=True, kw_only=True)
class GalleryConfig:
    """Settings of a gallery of a lab's own pictures."""

    target: Annotated[str, Parameter(group=DECODER)]
    """The target that the bundle was trained on: objects, open_clip:MODEL:WEIGHTS, file:PATH, colour-layout, ..."""
    bundle: Annotated[Path, Parameter(group=DECODER)]
    """The decoder: a bundle's folder or .zip."""
    nsd_split: Annotated[NsdSplit | None, Parameter(group=SOURCE)] = None
    """Take the pictures of NSD that the paper tests on: the folder is NSD's own."""
    captions: Annotated[Path | None, Parameter(group=DECODER)] = None
    """open_clip_text: COCO's captions_*.json, or a folder of them; by default a sentence of each picture's concept."""
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """The new bundle; by default beside the other, with the name of the folder of pictures added."""
    overwrite: Annotated[bool, Parameter(group=OUTPUT, negative=())] = False
    """Replace a bundle that stands there."""

    def __post_init__(self) -> None:
        _check_captions(self.captions, self.target)


def _check_captions(captions: Path | None, target: str | None) -> None:
    if captions is not None and "open_clip_text" not in (target or "").split(":"):
        raise UsageError("--captions belongs to --target open_clip_text:MODEL:WEIGHTS, which embeds them.")


def _check_offset(marker_offset_ms: float) -> None:
    if not isfinite(marker_offset_ms):
        raise UsageError(f"--marker-offset-ms is {marker_offset_ms:g}; it must be a number of milliseconds.")


def parse_events(text: str | None) -> dict[str, str] | None:
    """Return gallery names by marker label from ``"1=house,2=face"``, or None for None.

    Raises
    ------
    UsageError
        If the text is not a comma-separated list of CODE=NAME with different codes.
    """
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    events = {code.strip(): name.strip() for code, _, name in pairs}
    if len(events) != len(pairs) or not all(events) or not all(events.values()):
        raise UsageError(
            f"--events is {text!r}; write CODE=NAME,... with different codes, as in 1=house,2=face."
        )
    return events
