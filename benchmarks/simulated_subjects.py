"""What a plain linear decoder and the ideal observer reach on simulated subjects, at the published counts.

``python -m benchmarks.simulated_subjects [eeg|meg] [--subjects N] [--share S]``. A ridge regression from the window to
the embedding is trained on all training images and picks among the 200 test images by cosine: single trials, averages
of a few, and of all. The table stands beside what is published for linear decoders of the real data.

Windows are drawn one by one from the subject's own distribution, responses of the neighbouring pictures included,
instead of hours of signal being played; tests show that both are the same. Blinks and other artefacts are left out.
"""

import argparse
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import linalg

from benchmarks.drawn import PROTOCOLS, Lab, simulated_person, zero_shot
from decode_stream.decoders.ideal.ideal_observer import log_likelihood
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["main"]

_RIDGES = tuple(float(ridge) for ridge in 10.0 ** np.arange(-8, -1))


class _Ridge:
    """Ridge regression from sums over trials, its strength chosen on held-out training images."""

    def __init__(self, lab: Lab, pictures: PictureSet, shown: IntArray) -> None:
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
    protocol = PROTOCOLS[modality]
    pictures, forward = simulated_person(modality, seed)
    lab = Lab(forward, pictures, protocol, seed)
    rng = np.random.default_rng(seed)
    train, test = zero_shot(pictures)
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
