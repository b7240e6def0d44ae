"""What of a session's decoding is drawn: which trial's evidence, and whether it can be relied on at all."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder
from decode_stream.decoders.generation.confidence import NoveltyGate
from decode_stream.decoders.generation.picture_evidence import TrialEvidence, TrialReader
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.lsl import lsl_now

from .timing import duration_text

__all__ = ["Said", "TrialsToDraw"]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a trial says after one of its windows, on its way to a picture.

    Attributes
    ----------
    said : TrialEvidence
    of : str
        In words: ``"trial 12, up to 350 ms after onset"``.
    stamp_s : float
        LSL time of its newest sample; of its decoding where that is not known.
    decoded_s : float
        LSL time at which it was decoded.
    """

    said: TrialEvidence
    of: str
    stamp_s: float
    decoded_s: float


class TrialsToDraw:
    """Follows a decoder and hands out what is to be drawn; belongs to the decoding thread.

    Of trials that are open together the newest is drawn. Where trials always overlap, only those that are decided are:
    the newest window belongs to another of them every few milliseconds.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    BundleError
        If the bundle does not say how much its outputs tell of a picture.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._reader = TrialReader(bundle)
        self._kept = list[TrialEvidence]()
        self._newest_onset = -1
        self._gate = NoveltyGate(bundle.manifest.length_s)

    def keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Take a window of a trial with what was decoded from it."""
        self._kept.append(self._reader.keep(window, embedding))

    def news(self, decoder: Decoder, stamp_of: Callable[[int], float]) -> tuple[list[Said], bool]:
        """Return what the last step of the decoder said, in the order of time, and whether it can be relied on.

        Parameters
        ----------
        stamp_of : callable
            Gives the LSL time of a sample by its index at the decoder's rate; NaN where that is not known.
        """
        kept, self._kept = self._kept, []
        overlapping = decoder.scores.overlapping
        news = [
            one
            for one in sorted(kept, key=lambda one: (one.stop, one.trial.onset))
            if one.trial.onset >= self._newest_onset and (one.decided or not overlapping)
        ]
        if not news:
            return [], True
        newest = news[-1]
        self._newest_onset = newest.trial.onset
        now_s, sfreq_hz = lsl_now(), float(decoder.cutter.schedule.sfreq_hz)
        said = []
        for one in news:
            stamp_s = stamp_of(one.stop)
            said.append(Said(one, _of(one, sfreq_hz), now_s if isnan(stamp_s) else stamp_s, now_s))
        return said, self._gate.add(decoder.novelty, newest.stop / sfreq_hz)


def _of(one: TrialEvidence, sfreq_hz: float) -> str:
    end_s = (one.stop - one.trial.onset) / sfreq_hz
    state = "decided" if one.decided else f"up to {duration_text(end_s)} after onset"
    return f"trial {one.trial.number + 1}, {state}"
