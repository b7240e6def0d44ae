r"""What the windows of a trial say of its picture's embedding, as a Gaussian log-likelihood that adds up.

Up to a constant, and before what comes again with a picture is weighed,
:math:`\log p = v'\mu(e) - \frac{s}{2} \mu(e)' D \mu(e)`, with :math:`\mu(e)` what the bundle's projector makes of the
embedding, or the embedding itself. The vector v and the strength s of showings of one picture are summed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import unit_rows
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.errors import BundleError
from decode_stream.stream.types import FloatArray, Trial

__all__ = ["EvidenceReader", "PictureEvidence", "TrialEvidence", "TrialReader", "pooled"]

#: Trials whose windows are kept at once; with a picture every 100 ms and windows of a second ten are open.
_MOST_OPEN = 64


@dataclass(frozen=True, slots=True, eq=False)
class PictureEvidence:
    """What one showing of a picture says of it, or several together.

    Attributes
    ----------
    vector : array of shape (n_directions,), float64
    strength : float
        At least 0; 0 says nothing.
    n_showings : int
    """

    vector: npt.NDArray[np.float64]
    strength: float
    n_showings: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class TrialEvidence:
    """A trial after one of its windows.

    Attributes
    ----------
    trial : Trial
    k : int
        The window.
    stop : int
        Sample index at the decoder's rate up to which the signal was used.
    decided : bool
        Whether it was the trial's last.
    evidence : PictureEvidence
        Of all its windows so far.
    """

    trial: Trial
    k: int
    stop: int
    decided: bool
    evidence: PictureEvidence


def pooled(showings: Iterable[PictureEvidence]) -> PictureEvidence:
    """Return what showings of one picture say together.

    Raises
    ------
    ValueError
        If there are none.
    """
    given = list(showings)
    if not given:
        raise ValueError("No showing says anything.")
    vector = np.sum([one.vector for one in given], axis=0)
    return PictureEvidence(vector, sum(one.strength for one in given), sum(one.n_showings for one in given))


class EvidenceReader:
    """Reads what a bundle's encoder gave for a trial as evidence of its picture's embedding.

    Of a Gaussian projector the inner products with entries are log-likelihoods already, and calibrated. The outputs of
    any other encoder are read as its `PictureReadout` was measured to.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    BundleError
        If its outputs are no likelihoods and what they tell was never measured.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self._calibration = manifest.calibration
        self._norm = bundle.norm
        self._readout = None
        if bundle.projector is None or not bundle.projector.gaussian:
            self._readout = bundle.readout
            if self._readout is None:
                raise BundleError(
                    f"{manifest.name!r} was trained before it was measured how much its outputs tell of a picture, "
                    "so that none can be drawn of them. Train the bundle anew."
                )

    def read(self, embeddings: FloatArray, k: int = -1) -> PictureEvidence:
        """Return what a trial says after window `k`.

        Parameters
        ----------
        embeddings : array of shape (n_latencies, dimension)
            What the encoder gave for each window; NaN where none was decoded.
        k : int
            By default the last.
        """
        readout = self._readout
        if readout is None:
            total = self._calibration.log_evidence(embeddings, k)
            return PictureEvidence(total[:-1], max(float(total[-1]), 0.0))
        total = self._calibration.log_evidence(unit_rows(embeddings, self._norm), k)
        precision = float(readout.precision[k])
        observed = readout.gain * total + readout.offset[k]
        return PictureEvidence(precision * observed / readout.variance, precision)


class TrialReader:
    """Gathers the windows of open trials and reads each trial anew after every window, live as offline.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    BundleError
        See `EvidenceReader`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._reader = EvidenceReader(bundle)
        self._shape = (bundle.manifest.n_latencies, bundle.dimension)
        self._open: dict[int, npt.NDArray[np.float32]] = {}

    def keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> TrialEvidence:
        """Take a window of a trial with its embedding, and return what the trial says so far.

        An embedding with numbers that are not finite makes evidence that is not; later windows go on without it.
        """
        assert window.locked is not None
        trial, k = window.locked.trial, window.locked.k
        rows = self._open.setdefault(trial.number, np.full(self._shape, np.nan, np.float32))
        finite = bool(np.isfinite(embedding).all())
        rows[k] = embedding if finite else np.nan
        decided = k + 1 == len(rows)
        if decided or len(self._open) > _MOST_OPEN:
            # The oldest is one whose last window was withheld.
            del self._open[trial.number if decided else next(iter(self._open))]
        evidence = self._reader.read(rows, k)
        if not finite:
            evidence = PictureEvidence(np.full_like(evidence.vector, np.nan), np.nan)
        return TrialEvidence(trial, k, window.stop, decided, evidence)
