"""What a plain linear decoder and the ideal observer reach on simulated subjects, at the published counts.

``python -m benchmarks.simulated_subjects [eeg|meg] [--subjects N] [--share S]``. A ridge regression from the window to
the embedding is trained on all training images and picks among the 200 test images by cosine: single trials, averages
of a few, and of all. The table stands beside what is published for linear decoders of the real data.

Windows are drawn one by one from the subject's own distribution, responses of the neighbouring pictures included,
instead of hours of signal being played; tests show that both are the same. Blinks and other artefacts are left out.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.decoders.chains import DECODER_HZ, design_chain
from decode_stream.decoders.ideal.ideal_observer import (
    IdealObserver,
    Sufficient,
    log_likelihood,
)
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.scores import hits, wilson
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.replay_data.simulation.simulate_things import (
    EEG_SCALES,
    MEG_SCALES,
    things_eeg_pictures,
    things_meg_pictures,
)
from decode_stream.replay_data.simulation.subjects import eeg_subject, meg_subject
from decode_stream.stream.types import FloatArray, IntArray, Modality

__all__ = ["main"]

_LENGTH_S = 0.6
_BATCH = 400
_RIDGES = tuple(float(ridge) for ridge in 10.0 ** np.arange(-8, -1))


@dataclass(frozen=True)
class _Protocol:
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


_PROTOCOLS = {
    "eeg": _Protocol(
        4,
        80,
        0.2,
        (-5, -4, -3, -2, -1, 1, 2),
        2,
        (1, 8, 80),
        "single trials: top-1 1.5-3 %; 80 averaged: 10-15 % top-1, 35-45 % top-5",
    ),
    "meg": _Protocol(
        1,
        12,
        1.5,
        (-1,),
        5,
        (1, 4, 12),
        "single trials: top-1 a few %; 12 averaged: top-5 of deep networks about 70 %, linear ones several times lower",
    ),
}


class _Lab:
    """Windows of a subject, drawn one by one."""

    def __init__(self, forward: ForwardModel, pictures: PictureSet, protocol: _Protocol, seed: int) -> None:
        modality: Modality = "eeg" if forward.modality == "eeg" else "meg"
        chain = design_chain(
            forward.channels, forward.sfreq_hz, modality, at_most_hz=DECODER_HZ[forward.modality]
        )
        self.observer = IdealObserver(forward, chain, round(_LENGTH_S * chain.sfreq_hz))
        self._steps = np.rint(np.array(protocol.neighbours) * protocol.soa_s * forward.sfreq_hz).astype(int)
        self._drives = forward.drives(pictures.embeddings)
        self._pool = np.flatnonzero(pictures.table.split == "train")
        self._protocol, self._rng = protocol, np.random.default_rng(seed)

    def windows(self, shown: IntArray) -> Iterator[tuple[npt.NDArray[np.float32], Sufficient]]:
        """Yield windows as the plain decoder sees them, (n, n_features), and all that they tell."""
        for start in range(0, len(shown), _BATCH):
            batch = shown[start : start + _BATCH]
            phases = self._rng.integers(self.observer.decimation, size=len(batch))
            own, around = self._responses(batch, phases)
            noise = self.observer.noise.draw(len(batch), self._rng)
            seen = self.observer.tell(own + noise, phases, np.arange(start, start + len(batch)))
            yield self._features(own + around + noise), seen

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


class _Ridge:
    """Ridge regression from sums over trials, its strength chosen on held-out training images."""

    def __init__(self, lab: _Lab, pictures: PictureSet, shown: IntArray) -> None:
        looks = pictures.embeddings.astype(np.float64)
        self._centre = looks[np.unique(shown)].mean(axis=0)
        targets = looks - self._centre
        held_out = set(np.unique(shown)[::20].tolist())
        moments: list[FloatArray] | None = None
        kept_x, kept_y = [], []
        place = 0
        for x, _ in lab.windows(shown):
            batch = shown[place : place + len(x)]
            place += len(x)
            out = np.array([picture in held_out for picture in batch])
            kept_x.append(x[out])
            kept_y.append(targets[batch[out]])
            x, y = x[~out], targets[batch[~out]].astype(np.float32)
            new: list[FloatArray] = [x.T @ x, x.T @ y, x.sum(axis=0), y.sum(axis=0), np.array(float(len(x)))]
            moments = (
                [m.astype(np.float64) for m in new]
                if moments is None
                else [m + n for m, n in zip(moments, new, strict=True)]
            )
        assert moments is not None
        gram, cross, sum_x, sum_y, n = moments
        self._mean = sum_x / n
        gram -= np.outer(sum_x, self._mean)
        cross -= np.outer(sum_x, sum_y / n)
        size = float(np.trace(gram)) / len(gram)
        x, y = np.concatenate(kept_x), np.concatenate(kept_y)
        best = -np.inf
        for ridge in _RIDGES:
            weights = linalg.solve(gram + ridge * size * np.eye(len(gram)), cross, assume_a="pos")
            said = (x - self._mean) @ weights
            fit = float(np.mean(_cosines(said, y).diagonal()))
            if fit > best:
                best, self._weights, self.ridge = fit, weights, ridge
        self.n_training = len(shown) - len(x)

    def scores(self, x: FloatArray, gallery: FloatArray) -> npt.NDArray[np.float64]:
        """Return the cosine of what windows say with each entry, (n, n_entries)."""
        return _cosines((x - self._mean) @ self._weights, gallery - self._centre)


def _cosines(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    cosines: npt.NDArray[np.float64] = a @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    return cosines


def _row(name: str, right: Mapping[int, FloatArray]) -> str:
    n = len(right[1])
    cells = []
    for top, values in right.items():
        low, high = wilson(float(values.sum()), n)
        cells.append(f"top-{top} {values.mean():.3f} ({low:.3f} to {high:.3f})")
    return f"  {name:<28} n {n:>5}  " + "  ".join(cells)


def _measure(modality: str, share: float, seed: int) -> None:
    protocol = _PROTOCOLS[modality]
    make: Callable[..., ForwardModel]
    if modality == "eeg":
        pictures, make = things_eeg_pictures(EEG_SCALES["full"], seed), eeg_subject
    else:
        pictures, make = things_meg_pictures(MEG_SCALES["full"], seed), meg_subject
    forward = make(pictures.embeddings, pictures.n_layout, seed)
    lab = _Lab(forward, pictures, protocol, seed)
    rng = np.random.default_rng(seed)
    test = pictures.where("test")
    assert pictures.table.concept is not None
    # Zero-shot: no image of a test concept is trained on.
    unseen = ~np.isin(pictures.table.concept, pictures.table.concept[test])
    train = np.flatnonzero((pictures.table.split == "train") & unseen)
    shown = rng.permutation(np.repeat(train, protocol.n_train))
    ridge = _Ridge(lab, pictures, shown[: round(share * len(shown))])
    order = np.tile(np.arange(len(test)), protocol.n_test)
    pieces = list(lab.windows(test[order]))
    x = np.concatenate([piece[0] for piece in pieces])
    seen = pieces[0][1]
    for _, more in pieces[1:]:
        seen = seen.joined(more)
    gallery = pictures.embeddings[test].astype(np.float64)
    expected = gallery @ forward.weights + forward.bias
    print(
        f"{modality}, subject {seed}: {len(test)}-way, chance {1 / len(test):.3f} and {5 / len(test):.3f}, "
        f"{ridge.n_training} training trials, ridge {ridge.ridge:g}. Published: {protocol.published}"
    )
    for n_average in protocol.averages:
        group = order + len(test) * (np.arange(len(order)) // len(test) // n_average)
        truth = np.unique(group) % len(test)
        mean_x = np.zeros((len(truth), x.shape[1]))
        np.add.at(mean_x, group, x / n_average)
        plain = ridge.scores(mean_x, gallery)
        ideal = log_likelihood(seen.pooled(group), expected, forward.specific.astype(np.float64))
        both = {
            name: {k: hits(s, truth, k) for k in (1, 5)} for name, s in (("ridge", plain), ("ideal", ideal))
        }
        for name, right in both.items():
            print(_row(f"{n_average} averaged, {name}", right))
        fraction = fraction_of_ideal(
            both["ridge"][1], both["ideal"][1], 1 / len(test), ridge.n_training, pictures=truth, seed=seed
        )
        caveat = f" [{'; '.join(fraction.caveats)}]" if fraction.caveats else ""
        print(
            f"    fraction of ideal {fraction.value:.3f} ({fraction.low:.3f} to {fraction.high:.3f}){caveat}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modality", nargs="?", choices=["eeg", "meg"])
    parser.add_argument("--subjects", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the training trials to use")
    asked = parser.parse_args()
    for modality in [asked.modality] if asked.modality else ["eeg", "meg"]:
        for seed in range(1, asked.subjects + 1):
            _measure(modality, asked.share, seed)


if __name__ == "__main__":
    main()
