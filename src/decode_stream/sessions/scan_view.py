"""What views show of a run of fMRI, gathered while it is decoded."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.regions import Regions
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.decoders.scoring.two_way import running_two_way, two_way_effect
from decode_stream.gui.scan import TRIAL_STATES, ScanView, TwoWay
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.fmri.beta_cutter import BetaCutter
from decode_stream.stream.fmri.quality import RunQuality
from decode_stream.stream.types import Chunk, Gap, Trial

from .picture import trial_name
from .pipeline import Pipeline
from .timing import StageTimes
from .trial_track import TrialTrack

__all__ = ["RegionMeans", "ScanWatch", "TwoWayTrace", "planned_volumes"]

_MAX_POINTS = 300


def planned_volumes(pipeline: Pipeline) -> int:
    """Return how many volumes the run has that is going on, 0 where nothing tells; a loop ends with each turn."""
    info = pipeline.ingest.info
    if info.loop_samples:
        return info.loop_samples * max(1, ceil(pipeline.ingest.next_sample / info.loop_samples))
    if isinstance(pipeline.cutter, BetaCutter):
        return pipeline.cutter.betas.planned_volumes
    return info.n_samples or 0


def _takes_betas(pipeline: Pipeline, bundle: Bundle) -> bool:
    """Return whether the samples of the stream are betas that somebody else made."""
    return not isinstance(pipeline.cutter, BetaCutter) and bundle.manifest.of_betas


def _rises_after(pipeline: Pipeline) -> int:
    """Return how many volumes after the onset one holds some of the response."""
    # Of betas the schedule knows the volume that decides alone; the response is in those before it too.
    return 1 if isinstance(pipeline.cutter, BetaCutter) else pipeline.cutter.schedule.start(0)


class TwoWayTrace:
    """Two-way identification as it developed. Belongs to the decoding thread; others may read `newest`.

    Attributes
    ----------
    newest : TwoWay
        Replaced, never changed.
    """

    def __init__(self) -> None:
        self.newest = TwoWay()
        self._effect = (0, 1.0)

    def update(self, scores: Scores) -> None:
        """Work the trace out anew if a trial was added; of a gallery of one there is none."""
        if scores.n_entries < 2 or scores.n == self.newest.n:
            return
        n, effect = self._effect
        # That of all trials so far, for every point, as of the accuracy.
        if scores.n >= 1.05 * n:
            effect = two_way_effect(scores)
            self._effect = (scores.n, effect)
        at = np.unique(np.linspace(1, scores.n, min(scores.n, _MAX_POINTS)).round().astype(np.int64))
        running = running_two_way(scores, at, effect)
        self.newest = TwoWay(
            scores.n, running.mean, running.trials, running.low, running.high, running.interval
        )


class RegionMeans:
    """The mean over each region of what was decoded last.

    Parameters
    ----------
    regions : Regions
        Of the chain's voxels.
    chain : ChainSpec
        Its silent voxels count in no region.
    """

    def __init__(self, regions: Regions, chain: ChainSpec) -> None:
        silent = set(chain.silent)
        alive = np.array([name not in silent for name in chain.channels])
        masks = {name: np.flatnonzero(mask & alive) for name, mask in regions.named().items()}
        self._places = {name: places for name, places in masks.items() if len(places)}

    def of(self, window: npt.NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        """Return name and mean of each region; `window` is of shape (n_voxels, n_times)."""
        mean = window.mean(axis=1)
        return tuple((name, float(mean[places].mean())) for name, places in self._places.items())


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """What is told of `n_volumes` volumes, as `ScanView` has it."""

    n_volumes: int = 0
    motion: npt.NDArray[np.float64] | None = None
    displacement_mm: npt.NDArray[np.float64] | None = None
    dvars: npt.NDArray[np.float64] | None = None
    tsnr: float = nan


class ScanWatch:
    """Gathers what a `ScanView` shows; any thread may ask for one.

    What `watch` hands on is worked out in the acquisition thread; `keep`, `step` and `took` belong to the decoding one.

    Parameters
    ----------
    bundle : Bundle or None
        The decoder; None in a session that only watches.
    """

    def __init__(self, bundle: Bundle | None) -> None:
        self._bundle = bundle
        self._track: TrialTrack | None = None
        self._two_way = TwoWayTrace()
        self._volume_ms = StageTimes()
        self._last_ms = 0.0
        self._means = _region_means(bundle)
        self._regions: tuple[tuple[tuple[str, float], ...], str] = ((), "")
        self._quality: RunQuality | None = None
        self._figures = _Figures()

    def watch(self, pipeline: Pipeline) -> None:
        """Look at every volume of a stream from now on; not at betas, of which each is of another picture."""
        if self._bundle is None or not _takes_betas(pipeline, self._bundle):
            self._quality = RunQuality(pipeline.ingest.info.channels)
            pipeline.ingest.watch = self._look

    def _look(self, piece: Chunk | Gap) -> None:
        assert self._quality is not None
        if isinstance(piece, Gap):
            self._quality.skip(piece.n_lost)
        else:
            self._quality.add(piece.data)

    def keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Look at a window that was decoded: the last of a trial tells of the regions."""
        place = window.locked
        if self._means is None or self._bundle is None or place is None or window.data is None:
            return
        if place.k + 1 == self._bundle.manifest.n_latencies:
            told = f"trial {place.trial.number + 1}, {trial_name(place.trial, self._bundle)}"
            self._regions = (self._means.of(window.data), told)

    def step(self, pipeline: Pipeline, seen: Iterable[Trial]) -> None:
        """Take the trials whose onset has come, and what the decoder's last step said."""
        track = self._track_of(pipeline)
        for trial in seen:
            track.see(trial, trial_name(trial, self._bundle))
        if pipeline.decoder is not None:
            track.hear(pipeline.decoder.news)
            # The beliefs are out; views then need not wait for the interval.
            self._two_way.update(pipeline.decoder.scores)
        still_open = [trial.number for trial in pipeline.cutter.trials.open]
        track.settle(pipeline.ingest.ring.stop, still_open)

    def took(self, duration_s: float) -> None:
        """Note how long a volume took from when it was in hand to its belief."""
        self._volume_ms.add(duration_s)
        self._last_ms = 1e3 * duration_s

    def summary(self, pipeline: Pipeline | None, gaps: Sequence[Gap]) -> dict[str, Any] | None:
        """Return what a session's summary tells of the run; None where there was none."""
        view = self.view(pipeline, gaps) if pipeline is not None else None
        if view is None:
            return None
        trace, displacement_mm = view.two_way, view.displacement_mm
        states = self._track.states if self._track else Counter[str]()
        return {
            "volumes": {"seen": view.n_volumes, "planned": view.planned_volumes or None, "lost": view.n_lost},
            "tr_s": view.tr_s,
            "trials": {state: states[state] for state in TRIAL_STATES},
            "two_way": {
                "mean": float(trace.mean[-1]),
                "interval": [float(trace.low[-1]), float(trace.high[-1])],
                "how": trace.interval,
                "chance": 0.5,
                "n": trace.n,
            }
            if trace.n
            else None,
            "compared": [{"state": s, "top1": top1, "n": n} for s, top1, n in view.compared],
            "displacement_mm": _spread(displacement_mm),
            "dvars": _spread(view.dvars),
            "tsnr": view.tsnr if isfinite(view.tsnr) else None,
            "volume_ms": self._volume_ms.summary_ms(),
        }

    def view(self, pipeline: Pipeline, gaps: Sequence[Gap]) -> ScanView | None:
        """Return the run as it stands; None before the first volume."""
        info, n_volumes = pipeline.ingest.info, pipeline.ingest.next_sample
        if not n_volumes:
            return None
        times, figures = self._volume_ms.recent_ms(), self._figures_now()
        regions, regions_of = self._regions
        return ScanView(
            n_volumes=n_volumes,
            planned_volumes=planned_volumes(pipeline),
            tr_s=1 / info.sfreq_hz,
            now_s=n_volumes / info.sfreq_hz,
            trials=self._track.lines if self._track else (),
            two_way=self._two_way.newest,
            compared=self._track.compared if self._track else (),
            motion=figures.motion,
            displacement_mm=figures.displacement_mm,
            dvars=figures.dvars,
            tsnr=figures.tsnr,
            lost=tuple(at for gap in gaps for at in range(gap.start, gap.stop)),
            volume_ms=(self._last_ms, times[1]) if times else None,
            regions=regions,
            regions_of=regions_of,
        )

    def _figures_now(self) -> _Figures:
        """Return the figures of the volumes, put together anew only when one was added."""
        quality = self._quality
        if quality is not None and quality.n_volumes != self._figures.n_volumes:
            # A volume may be added meanwhile: all that is told is of as many.
            n, motion, displacement_mm = quality.n_volumes, quality.motion, quality.displacement_mm
            self._figures = _Figures(
                n,
                None if motion is None else motion[:n],
                None if displacement_mm is None else displacement_mm[:n],
                quality.dvars[:n],
                quality.tsnr,
            )
        return self._figures

    def _track_of(self, pipeline: Pipeline) -> TrialTrack:
        if self._track is None:
            gallery = self._bundle.manifest.gallery if self._bundle else ()
            rate_hz = float(pipeline.cutter.schedule.sfreq_hz)
            self._track = TrialTrack(gallery, rate_hz, _rises_after(pipeline))
        return self._track


def _spread(values: npt.NDArray[np.float64] | None) -> dict[str, float] | None:
    """Return median and largest of what is known of volumes."""
    known = values[np.isfinite(values)] if values is not None else np.empty(0)
    return {"median": float(np.median(known)), "max": float(known.max())} if len(known) else None


def _region_means(bundle: Bundle | None) -> RegionMeans | None:
    """Return what tells of the bundle's regions, or None where it knows none, or its voxels are not scaled to z."""
    if bundle is None or bundle.regions is None or bundle.manifest.chain.scale is None:
        return None
    return RegionMeans(bundle.regions, bundle.manifest.chain)
