"""What was decoded of every scored trial, kept for all that is asked of it afterwards."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.types import FloatArray, IntArray

from .bundle import Bundle
from .decoder import Decoder
from .evidence import similarity
from .scoring.scores import Scores

__all__ = ["Decoded", "Keeper", "latency_ends_s", "similarity_rows", "unit_rows"]


def unit_rows(embeddings: FloatArray, norm: str) -> npt.NDArray[np.float64]:
    """Return embeddings as they enter similarity: of unit length where the norm is ``unit``, else as they are."""
    rows = np.asarray(embeddings, np.float64)
    if norm != "unit":
        return rows
    unit: npt.NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit


def similarity_rows(embeddings: FloatArray, gallery: FloatArray, norm: str) -> npt.NDArray[np.float64]:
    """Return the similarity of embeddings (..., dimension) to a gallery, shape (..., n_entries)."""
    flat = similarity(embeddings.reshape(-1, embeddings.shape[-1]), gallery, norm)
    return flat.reshape(*embeddings.shape[:-1], len(gallery))


def latency_ends_s(bundle: Bundle) -> npt.NDArray[np.float64]:
    """Return when each window of a trial ends after the onset, shape (n_latencies,), seconds."""
    schedule = bundle.manifest.schedule
    ends = [schedule.stop(k) / schedule.sfreq_hz for k in range(bundle.manifest.n_latencies)]
    return np.array([float(end) for end in ends])


@dataclass(frozen=True, eq=False)
class Decoded:
    """Every scored trial of an evaluation, in the order of the decisions.

    Attributes
    ----------
    bundle : Bundle
        What decoded.
    scores : Scores
        The trials as a session would have scored them.
    embeddings : array of shape (n_trials, n_latencies, dimension), float32
        Mapped from a temporary file that goes with the array.
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32, or None
        What was decoded, likewise; None where it was not to be kept.
    """

    bundle: Bundle
    scores: Scores
    embeddings: npt.NDArray[np.float32]
    windows: npt.NDArray[np.float32] | None = None

    @property
    def truth(self) -> IntArray:
        """True gallery index of each trial, shape (n_trials,)."""
        return self.scores.truth()

    @property
    def runs(self) -> IntArray:
        """Run of each trial, shape (n_trials,)."""
        return np.array([trial.run for trial in self.scores.trials], dtype=np.int64)

    def weights(self) -> npt.NDArray[np.float64]:
        """Return what each window of a trial counts in its decision, shape (n_latencies,)."""
        each = np.eye(self.bundle.manifest.n_latencies)[:, :, None]
        return self.bundle.manifest.calibration.log_evidence(each)[:, 0]

    def evidence_until(self, similarities: FloatArray, k: int) -> npt.NDArray[np.float64]:
        """Return the log-evidence after window k from similarities (n, n_latencies, n_entries), (n, n_entries)."""
        return self.bundle.manifest.calibration.log_evidence(similarities, k)

    def similarities(self) -> npt.NDArray[np.float64]:
        """Return each window's similarity to the gallery, shape (n_trials, n_latencies, n_entries)."""
        return similarity_rows(self.embeddings, self.bundle.gallery, self.bundle.norm)

    def trial_embeddings(self) -> npt.NDArray[np.float64]:
        """Return one embedding a trial, shape (n_trials, dimension).

        The sum of its windows' embeddings, each as it enters similarity and times what it counts: the inner product
        with an entry of the gallery is the trial's log-evidence for it.
        """
        return self.combined(self.embeddings)

    def evidence_of_showings(self, groups: Sequence[IntArray]) -> npt.NDArray[np.float64]:
        """Return the log-evidence of showings of one picture put together as a session does, up to a factor.

        Parameters
        ----------
        groups : sequence of array of int
            Places of the trials that are put together.

        Returns
        -------
        array of shape (n_groups, n_entries), float64
            Before it is divided for the correlation of repeats, which moves no pick.
        """
        if not self.bundle.weighs_showings:
            evidence = self.scores.log_evidence()
            return np.array([evidence[group].sum(axis=0) for group in groups])
        said = self.trial_embeddings()
        entries = {n: self.bundle.of_showings(n).astype(np.float64) for n in {len(group) for group in groups}}
        return np.array([entries[len(group)] @ said[group].sum(axis=0) for group in groups])

    def combined(self, embeddings: FloatArray) -> npt.NDArray[np.float64]:
        """Return one embedding, (n, dimension), for the windows' embeddings (n, n_latencies, dimension)."""
        weights, norm = self.weights(), self.bundle.norm
        total = np.zeros((len(embeddings), embeddings.shape[2]))
        for k in np.flatnonzero(weights):
            total += weights[k] * unit_rows(embeddings[:, k], norm)
        return total


class Keeper:
    """Keeps what was decoded of whole trials, in files without a name, over one recording or several.

    A context manager: `decoded` is called before its end, and what it gave lives on.

    Parameters
    ----------
    bundle : Bundle
        What decodes.
    windows : bool
        Keep the windows as well.
    """

    def __init__(self, bundle: Bundle, *, windows: bool = False) -> None:
        self._bundle = bundle
        self._stack = ExitStack()
        self._files = list[IO[bytes]]()
        for _ in range(1 + windows):
            self._files.append(self._stack.enter_context(TemporaryFile()))  # noqa: SIM115
        self._open: dict[int, list[tuple[npt.NDArray[np.float32], ...]]] = {}
        self._numbers: list[int] = []

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Take a window of a trial with its embedding, and write the trial when it is whole."""
        assert window.locked is not None
        assert window.data is not None
        number = window.locked.trial.number
        rows = self._open.setdefault(number, [])
        rows.append((embedding, window.data))
        if window.locked.k + 1 < self._bundle.manifest.n_latencies:
            return
        del self._open[number]
        if len(rows) == self._bundle.manifest.n_latencies:
            self._numbers.append(number)
            for file, parts in zip(self._files, zip(*rows, strict=True), strict=False):
                file.write(np.ascontiguousarray(np.stack(parts), np.float32).data)

    def end(self, decoder: Decoder) -> None:
        """Check, at the end of a recording, that what was kept is what was scored.

        Raises
        ------
        RuntimeError
            If it is not: a defect of the program.
        """
        self._open.clear()
        numbers, self._numbers = self._numbers, []
        if numbers != [trial.number for trial in decoder.scores.trials]:
            raise RuntimeError("What was kept of the trials is not what was scored.")

    def decoded(self, scores: Scores) -> Decoded:
        """Return what was kept, with the scores of all trials."""
        manifest = self._bundle.manifest
        shapes: Sequence[tuple[int, ...]] = (
            (self._bundle.dimension,),
            (manifest.chain.n_out, manifest.schedule.n_times),
        )
        arrays = []
        for file, shape in zip(self._files, shapes, strict=False):
            file.flush()
            arrays.append(np.memmap(file, np.float32, "r", shape=(scores.n, manifest.n_latencies, *shape)))
        return Decoded(self._bundle, scores, arrays[0], arrays[1] if len(arrays) > 1 else None)
