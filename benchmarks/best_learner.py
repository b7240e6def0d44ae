r"""What could be learnt at most from the published number of trials of a simulated person.

``python -m benchmarks.best_learner eeg|meg [--seed S]``. The ideal observer knows the responses to pictures; a decoder
learns them. Between the two stands the best learner: it knows where every source projects to, its course and all noise,
and learns from the training trials only how strongly each dimension of an embedding drives each source, by the
posterior mean under the prior that these weights are drawn from. With :math:`G` what a window tells of the drives of
the sources (`IdealObserver`), the estimate of the weights of an axis of the embeddings with sum of squares :math:`l`
has the precision :math:`l M + T^{-1}`, where :math:`M` is :math:`G` with the noise of what embeddings do not tell, and
T the prior's variances. 200-way exact image, unseen concepts, chance .005; trials are drawn in the space of the drives,
where nothing is lost. Of the learner's two figures the first takes all noise for new at every showing.
"""

import argparse

import numpy as np
import numpy.typing as npt
from scipy import linalg

from benchmarks.drawn import PROTOCOLS, Lab, simulated_person, zero_shot
from decode_stream.stream.types import FloatArray

__all__ = ["learnt_weights", "main"]

_N_SETS = 4000


def learnt_weights(
    weights: FloatArray, prior: FloatArray, products: FloatArray, information: FloatArray, seed: int
) -> npt.NDArray[np.float64]:
    """Return the posterior mean of weights, (n_dims, n_sources), after trials that hold so much of them.

    Parameters
    ----------
    weights : array of shape (n_dims, n_sources)
        The true ones.
    prior : array of shape (n_sources,)
        Their variances.
    products : array of shape (n_dims, n_dims)
        Of the centred embeddings of the training pictures.
    information : array of shape (n_sources, n_sources)
        What all showings of a picture together tell of its drives.
    """
    rng = np.random.default_rng(seed)
    sizes, axes = linalg.eigh(products)
    half = linalg.cholesky(information + 1e-12 * np.trace(information) * np.eye(len(information)), lower=True)
    noise = np.sqrt(np.maximum(sizes, 0))[:, None] * (rng.standard_normal(weights.shape) @ half.T)
    told = sizes[:, None] * (axes.T @ weights @ information) + noise
    found = [
        linalg.solve(size * information + np.diag(1 / prior), row, assume_a="pos")
        for size, row in zip(sizes, told, strict=True)
    ]
    estimate: npt.NDArray[np.float64] = axes @ np.array(found)
    return estimate


def main() -> None:
    """Print how often the best learner and the ideal observer are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modality", choices=["eeg", "meg"])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    pictures, forward = simulated_person(asked.modality, asked.seed)
    protocol = PROTOCOLS[asked.modality]
    train, test = zero_shot(pictures)
    _, told = next(Lab(forward, pictures, protocol, asked.seed).raw(train[:1]))
    gram = told.grams.mean(axis=0)
    n_sources = len(gram)
    embeddings = pictures.embeddings.astype(np.float64)
    center = embeddings[train].mean(axis=0)
    products = (embeddings[train] - center).T @ (embeddings[train] - center)
    half = linalg.cholesky(gram + 1e-9 * np.trace(gram) / n_sources * np.eye(n_sources), lower=True)
    specific = forward.specific.astype(np.float64)
    unsaid = half.T @ np.diag(specific**2) @ half
    of_picture = half @ linalg.inv(unsaid + np.eye(n_sources) / protocol.n_train) @ half.T
    weights = forward.weights.astype(np.float64)
    learnt = learnt_weights(weights, weights.var(axis=0), products, of_picture, asked.seed)
    rng = np.random.default_rng(asked.seed)
    looks = embeddings[test] - center
    print(f"{asked.modality}, seed {asked.seed}: {len(train) * protocol.n_train} training trials")
    for n_together in protocol.averages:
        shown = np.arange(_N_SETS) % len(test)
        drives = looks[shown] @ weights + rng.standard_normal((_N_SETS, n_sources)) * specific
        seen = drives @ half + rng.standard_normal((_N_SETS, n_sources)) / np.sqrt(n_together)
        line = [f"{n_together:3d} showings:"]
        for name, known, noise in (
            ("ideal observer", weights, np.eye(n_sources) / n_together + unsaid),
            ("best learner", learnt, np.eye(n_sources) / n_together),
            ("and what embeddings do not tell", learnt, np.eye(n_sources) / n_together + unsaid),
        ):
            expected = looks @ known @ half
            weighed = linalg.solve(noise, expected.T, assume_a="pos")
            log_p = seen @ weighed - (expected.T * weighed).sum(axis=0) / 2
            line.append(f"{name} {np.mean(log_p.argmax(axis=1) == shown):.3f}")
        print(" ".join([line[0], "; ".join(line[1:])]), flush=True)


if __name__ == "__main__":
    main()
