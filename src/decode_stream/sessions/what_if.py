"""What would have been decoded of the last trials with a region silent or raised, while the session goes on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.brain.readout import readout_of
from decode_stream.decoders.brain.what_if import what_if
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.ranking import largest
from decode_stream.decoders.runtime import Encoder
from decode_stream.gui.snapshot import Match, PastTrial, WhatIfAnswer, WhatIfQuestion
from decode_stream.stream.cutter import CutWindow

from .picture import trial_name

__all__ = ["LiveWhatIf"]

#: Trials that are kept; each is one window of all voxels.
_N_KEPT = 20
_N_MATCHES = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    trial: PastTrial
    truth: str
    window: npt.NDArray[np.float32]


class LiveWhatIf:
    """Keeps the windows of the last trials, and decodes them anew with a region changed, in a thread of its own.

    Parameters
    ----------
    bundle : Bundle
        Of fMRI, with regions.
    encoder : Encoder
        The session's; it may be run from several threads.

    Attributes
    ----------
    regions : tuple of str
        Those that can be asked of.
    answer : WhatIfAnswer or None
        To the last question that was answered.

    Raises
    ------
    ValueError
        If the bundle knows no regions.
    """

    def __init__(self, bundle: Bundle, encoder: Encoder) -> None:
        if bundle.regions is None:
            raise ValueError(f"{bundle.manifest.name!r} knows no regions.")
        self.answer: WhatIfAnswer | None = None
        self._bundle = bundle
        self._readout = readout_of(bundle, encoder)
        self._masks = bundle.regions.named()
        self.regions = tuple(self._masks)
        # Replaced as a whole, never changed: the views' thread reads it.
        self._kept: tuple[_Kept, ...] = ()
        self._asked: WhatIfQuestion | None = None
        self._lock = threading.Lock()
        # Its thread begins with the first question, and goes when there is nothing more to do at the program's end.
        self._worker = ThreadPoolExecutor(1, "what if")

    @property
    def past(self) -> tuple[PastTrial, ...]:
        """The trials that are kept, oldest first."""
        return tuple(kept.trial for kept in self._kept)

    def keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Keep a window that was decoded; called in the decoding thread."""
        assert window.locked is not None
        assert window.data is not None
        trial, known = window.locked.trial, window.locked.trial.stimulus >= 0
        name = trial_name(trial, self._bundle)
        kept = _Kept(PastTrial(trial.number, name), name if known else "", window.data.copy())
        self._kept = (*self._kept, kept)[-_N_KEPT:]

    def ask(self, question: WhatIfQuestion) -> None:
        """Answer a question as soon as may be; one that waits is given up for a newer one. Returns at once."""
        with self._lock:
            self._asked = question
        self._worker.submit(self._answer, question)

    def _answer(self, question: WhatIfQuestion) -> None:
        with self._lock:
            if question is not self._asked:
                return
        try:
            self.answer = self._decoded(question)
        except Exception as error:
            # An experiment of the mind that fails must not end the session that it looks at.
            self.answer = WhatIfAnswer(question, failure=f"it could not be decoded: {error}")

    def _decoded(self, question: WhatIfQuestion) -> WhatIfAnswer:
        kept = next((one for one in self._kept if one.trial.number == question.trial), None)
        mask = self._masks.get(question.region)
        if kept is None or mask is None:
            gone = "its window is no longer kept" if kept is None else "there is no such region"
            return WhatIfAnswer(question, failure=gone)
        found = what_if(self._readout, kept.window[None], mask, question.raise_sd)
        return WhatIfAnswer(
            question,
            self._best(found.before.probability[0]),
            self._best(found.after.probability[0]),
            kept.truth,
            int(np.count_nonzero(mask)),
            float(found.cosine[0]),
        )

    def _best(self, probability: npt.NDArray[np.float64]) -> tuple[Match, ...]:
        names = self._bundle.manifest.gallery
        best = largest(probability, _N_MATCHES)
        return tuple(Match(names[i], float(probability[i])) for i in best)
