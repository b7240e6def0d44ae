"""One run of a simulated subject: somebody watches these pictures, in this order, at this pace."""

import numpy as np

from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .forward import ForwardModel
from .schedules import PictureSet, Spaced, Timing, rapid_onsets, spaced_onsets
from .simulated import SimulatedRecording, Simulation

__all__ = ["simulate_run"]


def simulate_run(
    pictures: PictureSet,
    forward: ForwardModel,
    shown: IntArray,
    *,
    timing: Timing | Spaced,
    seed: int,
    name: str = "simulated",
    session: int | None = None,
    run: int | None = None,
    repeat: IntArray | None = None,
) -> SimulatedRecording:
    """Return a recording of one run.

    Parameters
    ----------
    pictures : PictureSet
    forward : ForwardModel
        The subject, made for embeddings of as many dimensions.
    shown : array of shape (n,), int64
        Place in `pictures` of each presentation, in order.
    timing : Timing or Spaced
        In rapid sequences, or one by one.
    seed : int
        Decides noise, artefacts and, where there is any, the jitter of onsets.
    name : str
    session, run : int, optional
        For the table of stimuli.
    repeat : array of shape (n,), int64, optional
        Likewise.

    Raises
    ------
    ValueError
        If nothing is shown, or the pictures do not fit the subject.
    """
    if not len(shown):
        raise ValueError("A run shows at least one picture.")
    if isinstance(timing, Timing):
        onsets, n_samples = rapid_onsets(len(shown), timing, forward.sfreq_hz)
    else:
        rng = np.random.default_rng(np.random.SeedSequence([seed, 5]))
        onsets, n_samples = spaced_onsets(len(shown), timing, forward.sfreq_hz, rng)
    n, columns = len(shown), pictures.table
    texts = {column: getattr(columns, column) for column in ("concept", "image", "split")}
    table = StimulusTable(
        onset=onsets,
        id=None if columns.id is None else columns.id[shown],
        session=None if session is None else np.full(n, session),
        run=None if run is None else np.full(n, run),
        repeat=repeat,
        **{column: None if values is None else values[shown] for column, values in texts.items()},
    )
    return SimulatedRecording(Simulation(forward, pictures.embeddings, shown, table, n_samples, seed, name))
