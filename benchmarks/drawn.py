"""Windows of simulated people, drawn one by one from their own distribution instead of hours of signal being played.

The responses of neighbouring pictures are in them; blinks and other artefacts are not. Tests of the simulated people
show that such windows and those that are cut from a played signal are the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.chains import DECODER_HZ, design_chain
from decode_stream.decoders.ideal.ideal_observer import IdealObserver, Sufficient
from decode_stream.replay_data.pictures.scenes import Scene
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.replay_data.simulation.simulate_things import (
    EEG_SCALES,
    MEG_SCALES,
    things_eeg_pictures,
    things_meg_pictures,
)
from decode_stream.replay_data.simulation.subjects import eeg_subject, meg_subject
from decode_stream.simulation.simulated_pictures import as_scenes, concept_names
from decode_stream.stream.types import FloatArray, IntArray, Modality

__all__ = ["PROTOCOLS", "Lab", "Protocol", "person_of_scenes", "simulated_person", "zero_shot"]

_LENGTH_S = 0.6
_BATCH = 400


@dataclass(frozen=True)
class Protocol:
    """How a dataset is decoded.

    Attributes
    ----------
    n_train, n_test : int
        Showings of a training and of a test image.
    soa_s, neighbours : float, range
        When the neighbours come, in steps of `soa_s` from the picture itself.
    bin : int
        Samples that the plain decoder averages: it sees no detail that filters have removed anyway.
    averages : tuple of int
        Showings that are averaged, to score.
    published : str
    """

    n_train: int
    n_test: int
    soa_s: float
    neighbours: tuple[int, ...]
    bin: int
    averages: tuple[int, ...]
    published: str


PROTOCOLS = {
    "eeg": Protocol(
        4,
        80,
        0.2,
        (-5, -4, -3, -2, -1, 1, 2),
        2,
        (1, 8, 80),
        "single trials: top-1 1.5-3 %; 80 averaged: 10-15 % top-1, 35-45 % top-5",
    ),
    "meg": Protocol(
        1,
        12,
        1.5,
        (-1,),
        5,
        (1, 4, 12),
        "single trials: top-1 a few %; 12 averaged: top-5 of deep networks about 70 %, linear ones several times lower",
    ),
}


class Lab:
    """Windows of a subject, drawn one by one."""

    def __init__(self, forward: ForwardModel, pictures: PictureSet, protocol: Protocol, seed: int) -> None:
        modality: Modality = "eeg" if forward.modality == "eeg" else "meg"
        chain = design_chain(
            forward.channels, forward.sfreq_hz, modality, at_most_hz=DECODER_HZ[forward.modality]
        )
        self.observer = IdealObserver(forward, chain, round(_LENGTH_S * chain.sfreq_hz))
        self._steps = np.rint(np.array(protocol.neighbours) * protocol.soa_s * forward.sfreq_hz).astype(int)
        self._drives = forward.drives(pictures.embeddings)
        self._pool = np.flatnonzero(pictures.table.split == "train")
        self._protocol, self._rng = protocol, np.random.default_rng(seed)

    def raw(self, shown: IntArray) -> Iterator[tuple[npt.NDArray[np.float64], Sufficient]]:
        """Yield trials as they come out of the chain, (n, n_times, n_channels), and all that they tell.

        Parameters
        ----------
        shown : array of shape (n_trials,), int64
            The picture of each.
        """
        for start in range(0, len(shown), _BATCH):
            batch = shown[start : start + _BATCH]
            phases = self._rng.integers(self.observer.decimation, size=len(batch))
            own, around = self._responses(batch, phases)
            noise = self.observer.noise.draw(len(batch), self._rng)
            seen = self.observer.tell(own + noise, phases, np.arange(start, start + len(batch)))
            yield own + around + noise, seen

    def windows(self, shown: IntArray) -> Iterator[tuple[npt.NDArray[np.float32], Sufficient]]:
        """Yield trials as the plain decoder sees them, (n, n_features), and all that they tell."""
        for trials, seen in self.raw(shown):
            yield self._features(trials), seen

    def _responses(
        self, batch: IntArray, phases: IntArray
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        shape = (len(batch), self.observer.n_times, self.observer.chain.n_out)
        own, around = np.empty(shape), np.empty(shape)
        near = self._rng.choice(self._pool, (len(batch), len(self._steps)))
        for phase in np.unique(phases):
            mine, offset = phases == phase, int(phase) - (self.observer.decimation - 1) // 2
            own[mine] = self.observer.responses(np.array([offset]), self._drives[batch[mine], None])
            around[mine] = self.observer.responses(offset - self._steps, self._drives[near[mine]])
        return own, around

    def _features(self, windows: FloatArray) -> npt.NDArray[np.float32]:
        n, n_times, n_channels = windows.shape
        whole = n_times // self._protocol.bin
        binned = windows[:, : whole * self._protocol.bin].reshape(n, whole, -1, n_channels).mean(axis=2)
        features: npt.NDArray[np.float32] = binned.reshape(n, -1).astype(np.float32)
        return features


def simulated_person(modality: str, seed: int) -> tuple[PictureSet, ForwardModel]:
    """Return the pictures at the published counts, and a simulated person who watches them."""
    make: Callable[..., ForwardModel]
    if modality == "eeg":
        pictures, make = things_eeg_pictures(EEG_SCALES["full"], seed), eeg_subject
    else:
        pictures, make = things_meg_pictures(MEG_SCALES["full"], seed), meg_subject
    return pictures, make(pictures.embeddings, pictures.n_layout, seed)


def person_of_scenes(modality: str, seed: int) -> tuple[PictureSet, ForwardModel, tuple[Scene, ...]]:
    """Return the same with pictures that can be looked at: scenes of objects in the demos' embedding space.

    Returns
    -------
    PictureSet
    ForwardModel
        As loud as everybody.
    tuple of Scene
        Of each picture.
    """
    if modality == "eeg":
        scale = EEG_SCALES["full"]
        names = concept_names(scale.n_train_concepts + scale.n_test_concepts)
        drawn = things_eeg_pictures(scale, seed, concepts=names)
    else:
        names = concept_names(MEG_SCALES["full"].n_concepts)
        drawn = things_meg_pictures(MEG_SCALES["full"], seed, concepts=names)
    pictures, scenes = as_scenes(drawn, names, seed)
    make = eeg_subject if modality == "eeg" else meg_subject
    return pictures, make(pictures.embeddings, pictures.n_layout, seed), scenes


def zero_shot(pictures: PictureSet) -> tuple[IntArray, IntArray]:
    """Return the pictures to train on and to test on; none of a test concept is trained on."""
    test = pictures.where("test")
    assert pictures.table.concept is not None
    unseen = ~np.isin(pictures.table.concept, pictures.table.concept[test])
    return np.flatnonzero((pictures.table.split == "train") & unseen), test
