"""What a view draws: one immutable picture of a session, pulled as often as the view likes."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import Event

from .scan import ScanView, TrialLine, TwoWay

__all__ = [
    "STATES",
    "UNLIKE_TRAINING",
    "Accuracy",
    "Match",
    "PastTrial",
    "Progress",
    "Puller",
    "Reconstruction",
    "ScanView",
    "SignalView",
    "Snapshot",
    "Stimulus",
    "TrialLine",
    "TwoWay",
    "WhatIfAnswer",
    "WhatIfQuestion",
]

#: What `Reconstruction.held` says where a signal is so unlike the training that no picture is drawn of it.
UNLIKE_TRAINING = "unlike the training"
#: Every state a session can be in, in the order of a session's life.
STATES = ("idle", "searching", "connected", "decoding", "stalled", "lost", "ended")


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of the ranked gallery.

    Attributes
    ----------
    probability : float
        Posterior probability in [0, 1].
    """

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Stimulus:
    """What is shown now.

    Attributes
    ----------
    name : str
        Its name in the gallery; what its marker says where the gallery lacks it.
    known : bool
        Whether the gallery holds it.
    """

    name: str
    known: bool


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A trial that is over and whose window is kept.

    Attributes
    ----------
    number : int
        Counted from 0.
    name : str
        What was shown: its name in the gallery, or what its marker said.
    """

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class WhatIfQuestion:
    """What would have been decoded of a trial with a region changed.

    Attributes
    ----------
    trial : int
        Number of the trial, counted from 0.
    region : str
        As `Snapshot.regions` has it.
    raise_sd : float or None
        Added to the region's voxels, in training standard deviations; None to silence it.
    """

    trial: int
    region: str
    raise_sd: float | None


@dataclass(frozen=True, slots=True)
class WhatIfAnswer:
    """What is decoded of a trial as it was, and with a region changed.

    Attributes
    ----------
    question : WhatIfQuestion
    before, after : tuple of Match
        Best matches, most probable first.
    truth : str
        Name of what was shown, if the gallery holds it; else empty.
    n_voxels : int
        Voxels of the region.
    cosine : float
        Between the embeddings before and after.
    failure : str
        Why there is no answer; else empty.
    """

    question: WhatIfQuestion
    before: tuple[Match, ...] = ()
    after: tuple[Match, ...] = ()
    truth: str = ""
    n_voxels: int = 0
    cosine: float = 1.0
    failure: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """The accuracy trace over scored trials, and the curve over latency.

    Attributes
    ----------
    protocol : str
        What is scored, in words: ``"single trial, 2-way"``.
    k : int
        Number of alternatives; chance is 1 / k.
    n : int
        Number of scored trials.
    top1 : array of shape (n_points,), float
        Running fraction of right first choices; thinned to at most 300 points.
    trials : array of shape (n_points,), int
        Number of scored trials at each point of `top1`.
    low, high : array of shape (n_points,), float
        95 % interval at each point.
    interval : str
        How the interval was made, in words, as `Scores.interval_name` gives it.
    latency_s : array of shape (n_latencies,), float
        End of each window after stimulus onset, seconds.
    top1_by_latency : array of shape (n_latencies,), float
        Fraction right from the window at that latency alone; NaN where none was decoded.
    auc : float or None
        Area under the ROC curve; two classes only.
    """

    protocol: str = ""
    k: int = 0
    n: int = 0
    top1: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    trials: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    low: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    high: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    interval: str = ""
    latency_s: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    top1_by_latency: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    auc: float | None = None

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1.0 / self.k if self.k else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SignalView:
    """The newest seconds of the signal as the decoder sees it.

    Attributes
    ----------
    data : array of shape (n_samples, n_channels), float32
        Filtered signal at the decoder's rate, oldest first; NaN where samples never came.
    names : tuple of str
        Channel names.
    unit : str
        Unit of `data`; ``"scaled"`` after robust scaling.
    sfreq_hz : float
        The decoder's rate.
    stop : int
        Sample index behind the newest sample: tells a view whether anything is new.
    onsets : tuple of (int, str)
        Sample index and name of the stimuli within the span.
    kind : str
        What the channels are, in the plural: ``"channels"``, ``"voxels"``.
    """

    data: npt.NDArray[np.float32]
    names: tuple[str, ...]
    unit: str
    sfreq_hz: float
    stop: int
    onsets: tuple[tuple[int, str], ...] = ()
    kind: str = "channels"


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a session so far. Nothing that was dropped is missing here.

    The windows are those that run freely; of a decoder of whole trials, which has none, those of its trials.
    """

    received: int = 0
    lost: int = 0
    duplicate: int = 0
    reordered: int = 0
    non_finite: int = 0
    gaps: int = 0
    windows_due: int = 0
    windows_decoded: int = 0
    windows_skipped: int = 0
    windows_withheld: int = 0
    windows_superseded: int = 0
    trials_seen: int = 0
    trials_scored: int = 0
    markers_missed: int = 0
    markers_unknown: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """The newest picture that was drawn of what was decoded.

    Attributes
    ----------
    number : int
        Counts the pictures that were made, from 1: a view draws anew when it changes.
    picture : array of shape (side, side, 3), uint8
        RGB, faded towards `prior` as far as the belief is open.
    prior : array of shape (side, side, 3), uint8
        What is drawn of no evidence: the mean of pictures drawn from nothing.
    variance : array of shape (side, side), uint8, or None
        Spread over several noises of the last trial that was decided, 0 to 255; None where there was no time for it.
    of : str
        What it is drawn from: ``"trial 12, up to 350 ms after onset"``, ``"trial 12, decided"``.
    confidence : float
        Share of the variance over pictures that the belief settles, 0 to 1.
    age_ms : float
        Of the newest sample that the belief rests on, now.
    held : str
        Why an older picture is still shown: ``"generator failed: ..."``, ``"unlike the training"``; else empty.
    n_steps : int
        Steps of the generator.
    draw_ms : float
        How long the drawing took.
    nearest : bytes or None
        Image file of the training picture nearest to what was decoded; None where none is known.
    nearest_distance : float
        Its cosine distance in the embedding space; NaN where none is known.
    """

    number: int
    picture: npt.NDArray[np.uint8]
    prior: npt.NDArray[np.uint8]
    variance: npt.NDArray[np.uint8] | None
    of: str
    confidence: float
    age_ms: float
    held: str
    n_steps: int
    draw_ms: float
    nearest: bytes | None
    nearest_distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A session at one moment.

    Attributes
    ----------
    state : str
        One of `STATES`.
    state_for_s : float
        Seconds since the state began.
    source : str
        The stream in words: ``"'Muse' EEG, 5 ch @ 256 Hz"``.
    sfreq_hz : float
        Rate that the stream declares, in recording time; 0 before there is a stream.
    modality : str
        What is measured: ``"eeg"``, ``"meg"``, ``"fmri"``, or empty where that is not known.
    speed : float
        How much faster than recorded a replay runs; rates count in recording time.
    duration_s : float
        Seconds of signal received, in recording time.
    age_ms : float or None
        Age of the newest sample now; None before the first.
    latency_ms : tuple of (str, float, float)
        Stage name, median and 99th percentile in ms, in the order of the way of the data.
    matches : tuple of Match
        Best matches, most probable first.
    matches_of : str
        What `matches` speak of: ``"trial 12, up to 350 ms after onset"``, ``"free-running, latency unknown"``; or
        empty.
    truth : str
        Name of the stimulus that `matches` speak of, if known; else empty.
    stimulus : Stimulus or None
        What is shown now, if anything is and a marker told so.
    has_pictures : bool
        Whether the bundle holds pictures of its gallery, see `Puller.picture`.
    provider : str
        What runs the decoder: ``"CPU"``, ``"CUDA"``.
    bundle : str
        Name of the bundle, or empty when only watching.
    events : tuple of Event
        The latest events, oldest first.
    regions : tuple of str
        Regions of the voxels that the bundle knows; empty where it knows none.
    past : tuple of PastTrial
        The last trials that can be asked of, oldest first.
    what_if : WhatIfAnswer or None
        To the last question that was answered.
    scan : ScanView or None
        The run of fMRI; None of other signals, and before the first volume.
    generator : str
        Name of what draws pictures of what is decoded; empty where nothing does.
    reconstruction : Reconstruction or None
        None without a generator, and before the first picture.
    """

    state: str
    state_for_s: float
    source: str = ""
    sfreq_hz: float = 0.0
    modality: str = ""
    speed: float = 1.0
    duration_s: float = 0.0
    age_ms: float | None = None
    latency_ms: tuple[tuple[str, float, float], ...] = ()
    progress: Progress = Progress()
    accuracy: Accuracy = field(default_factory=Accuracy)
    matches: tuple[Match, ...] = ()
    matches_of: str = ""
    truth: str = ""
    stimulus: Stimulus | None = None
    has_pictures: bool = False
    provider: str = ""
    bundle: str = ""
    events: tuple[Event, ...] = ()
    regions: tuple[str, ...] = ()
    past: tuple[PastTrial, ...] = ()
    what_if: WhatIfAnswer | None = None
    scan: ScanView | None = None
    generator: str = ""
    reconstruction: Reconstruction | None = None


class Puller(Protocol):
    """What a view is handed: it pulls pictures of a session and may ask the session to stop.

    Every method returns at once and may be called from any thread.
    """

    def snapshot(self) -> Snapshot:
        """Return the session as it is now."""
        ...

    def signal(self, seconds: float) -> SignalView | None:
        """Return the newest `seconds` of signal, or None before the first sample."""
        ...

    def picture(self, name: str) -> bytes | None:
        """Return the picture of a gallery entry as an image file (PNG), or None where there is none."""
        ...

    def ask_what_if(self, question: WhatIfQuestion) -> None:
        """Ask what would have been decoded; the answer is in a later snapshot, a newer question takes its place."""
        ...

    def stop(self) -> None:
        """Ask the session to end; it has ended once `snapshot` says so."""
        ...
