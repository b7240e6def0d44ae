"""Which numbers of an embedding can be decoded at all.

Y. Lu et al., MindDiffuser: controlled image reconstruction from human brain activity with semantic and structural
diffusion, ACM Multimedia 2023: of a shallow layer of CLIP only the quarter that is decoded best is let guide a
generator. How well a number is decoded is told on the training set alone, by cross-validation.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from decode_stream.stream.errors import BundleError, UsageError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["FeatureMask", "best_decoded", "decoded_correlation", "select_features"]

_SHARE = 0.25
_N_FOLDS = 5
# Penalties as multiples of the number of inputs, which are of unit spread.
_PENALTIES = tuple(float(10.0**power) for power in range(-3, 4))
_TARGETS_AT_ONCE = 2000
#: A correlation over fewer trials says nothing.
_LEAST_TRIALS = 3


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMask:
    """The numbers of an embedding that are decoded best.

    Attributes
    ----------
    kept : array of shape (n_kept,), int64
        Their places, ascending.
    correlation : array of shape (dimension,), float32
        How well each number of the embedding is decoded: 0 is not at all.
    """

    kept: IntArray
    correlation: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        places = np.asarray(self.kept)
        inside = len(places) and places[0] >= 0 and places[-1] < len(self.correlation)
        if not inside or (np.diff(places) <= 0).any():
            raise ValueError(f"A mask of {len(self.correlation)} numbers keeps ascending places of them.")

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """One where a number is kept and zero elsewhere, shape (dimension,): what a loss is multiplied by."""
        weights = np.zeros(len(self.correlation), np.float32)
        weights[self.kept] = 1
        return weights

    def apply(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what is kept of embeddings (n, dimension), shape (n, n_kept)."""
        if embeddings.shape[-1] != len(self.correlation):
            raise ValueError(
                f"Embeddings of {embeddings.shape[-1]} numbers for a mask of {len(self.correlation)}."
            )
        kept: npt.NDArray[np.float32] = embeddings[..., self.kept]
        return kept

    def to_bytes(self) -> bytes:
        """Return the mask as safetensors."""
        return save({"kept": self.kept.astype(np.int64), "correlation": self.correlation.astype(np.float32)})

    @classmethod
    def from_bytes(cls, content: bytes) -> "FeatureMask":
        """Return the mask that `to_bytes` wrote.

        Raises
        ------
        BundleError
            If it is none.
        """
        try:
            arrays = load(content)
            return cls(arrays["kept"], arrays["correlation"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise BundleError(
                f"The mask of features is damaged ({error}). Get the bundle again, or train it anew."
            ) from error


def best_decoded(correlation: FloatArray, share: float = _SHARE) -> FeatureMask:
    """Return the mask of the numbers that are decoded best.

    Parameters
    ----------
    correlation : array of shape (dimension,)
        Told on training data; of equal ones the first are kept.
    share : float
        How many of all, above 0 and up to 1; one is always kept.
    """
    if not 0 < share <= 1:
        raise ValueError(f"A share lies above 0 and up to 1; got {share}.")
    n = max(1, round(share * len(correlation)))
    best = np.argsort(-np.asarray(correlation), kind="stable")[:n]
    return FeatureMask(np.sort(best).astype(np.int64), np.asarray(correlation, np.float32))


def decoded_correlation(decoded: FloatArray, wanted: FloatArray) -> npt.NDArray[np.float64]:
    """Return the correlation of each number over trials; 0 where one of the two does not vary.

    Parameters
    ----------
    decoded, wanted : array of shape (n_trials, dimension)

    Returns
    -------
    array of shape (dimension,), float64
    """
    decoded, wanted = (rows - rows.mean(axis=0, dtype=np.float64) for rows in (decoded, wanted))
    lengths = np.sqrt((decoded**2).sum(axis=0) * (wanted**2).sum(axis=0))
    products = (decoded * wanted).sum(axis=0)
    correlation: npt.NDArray[np.float64] = np.divide(
        products, lengths, out=np.zeros(len(products)), where=lengths > 1e-12
    )
    return correlation


def select_features(
    inputs: FloatArray,
    wanted: FloatArray,
    stimuli: IntArray,
    *,
    share: float = _SHARE,
    n_folds: int = _N_FOLDS,
    seed: int = 0,
) -> FeatureMask:
    """Return the numbers of a target that ridge regression decodes best on trials that it was not fitted on.

    Trials of one stimulus are never on both sides of a fold, each number has a penalty of its own, chosen within the
    fold's own training trials, and the correlations are means over the folds.

    Parameters
    ----------
    inputs : array of shape (n_trials, ...)
        What was measured, training trials only. The time it takes grows with the third power of their number: of many
        repeats give the means.
    wanted : array of shape (n_trials, dimension)
        The embedding of each trial's picture. May be mapped from a file: some columns are read at a time.
    stimuli : array of shape (n_trials,), int64
        What was shown.
    share, n_folds, seed
        How much is kept, and how the stimuli are divided.

    Raises
    ------
    UsageError
        If there are too few stimuli or trials to divide.
    """
    from sklearn.model_selection import GroupKFold

    n_stimuli = len(np.unique(stimuli))
    if n_stimuli < 2 * n_folds or len(stimuli) < n_folds * _LEAST_TRIALS:
        raise UsageError(
            f"{len(stimuli)} trials of {n_stimuli} pictures are too few to tell which features can be decoded; it "
            f"takes {2 * n_folds} pictures and {n_folds * _LEAST_TRIALS} trials."
        )
    flat = np.asarray(inputs, np.float32).reshape(len(inputs), -1)
    folds = list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(flat, groups=stimuli))
    correlation = np.zeros(wanted.shape[1])
    for train, test in folds:
        kernels, train_trials = _kernels(flat, train, test), np.asarray(train)
        for start in range(0, wanted.shape[1], _TARGETS_AT_ONCE):
            some = slice(start, start + _TARGETS_AT_ONCE)
            columns = np.asarray(wanted[:, some], np.float32)
            decoded = _decode(*kernels, columns[train_trials], stimuli[train_trials], seed)
            correlation[some] += decoded_correlation(decoded, columns[test]) / len(folds)
    return best_decoded(correlation, share)


def _kernels(
    flat: npt.NDArray[np.float32], train: IntArray, test: IntArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the inner products of trials, over the number of inputs, of inputs scaled as the training trials say."""
    mean, spread = flat[train].mean(axis=0), flat[train].std(axis=0)
    scaled = (flat - mean) / np.where(spread > 0, spread, 1)
    known = scaled[train]
    return known @ known.T / flat.shape[1], scaled[test] @ known.T / flat.shape[1]


def _decode(
    kernel: npt.NDArray[np.float32],
    across: npt.NDArray[np.float32],
    wanted: npt.NDArray[np.float32],
    stimuli: IntArray,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Return what kernel ridge regression with a penalty for each column decodes of the held-out trials."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from sklearn.model_selection import GroupKFold

    inner = list(GroupKFold(_N_FOLDS, shuffle=True, random_state=seed).split(wanted, groups=stimuli))
    mean = wanted.mean(axis=0)
    model = KernelRidgeCV(alphas=_PENALTIES, kernel="precomputed", cv=inner, Y_in_cpu=False)
    model.fit(kernel, wanted - mean)
    decoded: npt.NDArray[np.float32] = model.predict(across) + mean
    return decoded
