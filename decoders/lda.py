"""Shrinkage LDA as a streaming decoder: the honest yardstick of every encoder. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.windows import WindowSchedule

__all__ = ["LinearReadout", "fit_lda", "join_windows", "write_linear_onnx"]


@dataclass(frozen=True, eq=False)
class LinearReadout:
    """A linear decoder of whole trials, shared out among the trial's windows.

    The embedding of a window is the evidence it adds to each gallery entry, so the gallery is the identity
    matrix, compared by inner product, and the sum over a trial's windows is the discriminant of the whole
    trial.

    Attributes
    ----------
    weights : array of shape (n_latencies, n_entries, n_channels, n_times), float64
    bias : array of shape (n_latencies, n_entries), float64
    step_s : float
        Time from one window to the next, seconds.
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    step_s: float

    @property
    def gallery(self) -> npt.NDArray[np.float32]:
        """The gallery that belongs to it, shape (n_entries, n_entries)."""
        return np.eye(self.bias.shape[1], dtype=np.float32)

    def embed(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return the embeddings of every window of trials.

        Parameters
        ----------
        windows : array of shape (n_trials, n_latencies, n_channels, n_times)

        Returns
        -------
        array of shape (n_trials, n_latencies, n_entries), float64
        """
        embeddings: npt.NDArray[np.float64] = np.einsum("nlct,lkct->nlk", windows, self.weights) + self.bias
        return embeddings


def _starts(schedule: WindowSchedule, n_latencies: int) -> list[int]:
    return [schedule.stop(k) - schedule.n_times for k in range(n_latencies)]


def join_windows(windows: FloatArray, schedule: WindowSchedule) -> FloatArray:
    """Return the epochs that windows were cut from.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times)
        Without a baseline of their own, so that overlapping windows agree.
    schedule : WindowSchedule
        Whose windows follow each other without a gap.

    Returns
    -------
    array of shape (n_trials, n_channels, n_samples), the windows' dtype
        From stimulus onset to the end of the last window.
    """
    n_trials, n_latencies, n_channels, n_times = windows.shape
    epochs = np.zeros((n_trials, n_channels, schedule.stop(n_latencies - 1)), windows.dtype)
    for k, start in enumerate(_starts(schedule, n_latencies)):
        epochs[:, :, start : start + n_times] = windows[:, k]
    return epochs


def fit_lda(
    epochs: FloatArray,
    labels: IntArray,
    schedule: WindowSchedule,
    n_latencies: int,
    *,
    n_entries: int = 2,
    start_s: float = 0.047,
    stop_s: float = 0.5,
) -> LinearReadout:
    """Fit LDA with Ledoit-Wolf shrinkage on whole epochs, and share it out among their windows.

    The weight of each sample is divided by the number of windows that see it, and the constant is spread
    evenly: the sum over a trial's windows is the discriminant of the epoch, whose softmax is the posterior
    under the classes' shares in training. The shrinkage is that of Ledoit and Wolf (2004), on standardised
    samples.

    Parameters
    ----------
    epochs : array of shape (n_trials, n_channels, n_samples)
        From stimulus onset to the end of the last window at least.
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    schedule : WindowSchedule
    n_latencies : int
        Windows of a trial.
    n_entries : int
        Size of the gallery.
    start_s, stop_s : float
        Part of the epoch that is used, seconds after onset.

    Returns
    -------
    LinearReadout

    Raises
    ------
    UsageError
        If the windows do not cover the part, or an entry of the gallery has fewer than two trials.
    """
    n_channels, n_times = epochs.shape[1], schedule.n_times
    first, last = (round(time_s * float(schedule.sfreq_hz)) for time_s in (start_s, stop_s))
    starts = _starts(schedule, n_latencies)
    cover = np.zeros(max(starts[-1] + n_times, last), dtype=np.int64)
    for start in starts:
        cover[start : start + n_times] += 1
    if not (0 <= first < last) or not cover[first:last].all():
        raise UsageError(
            f"A trial's windows cover 0 to {starts[-1] + n_times} samples after onset; LDA is to use "
            f"{first} to {last} ({start_s:g} to {stop_s:g} s). Take more windows a trial, or a shorter part."
        )
    n_each = np.bincount(labels, minlength=n_entries)
    if n_entries < 2 or len(n_each) > n_entries or n_each.min() < 2:
        raise UsageError(
            f"LDA needs at least 2 trials of each of at least 2 stimuli; it got {n_each.tolist()}. "
            "Train on more runs, or name fewer stimuli with --events CODE=NAME,..."
        )
    coefficients, constants = _discriminants(epochs[:, :, first:last].reshape(len(epochs), -1), labels)
    shared = np.zeros((n_entries, n_channels, len(cover)))
    shared[:, :, first:last] = coefficients.reshape(n_entries, n_channels, -1) / cover[first:last]
    weights = np.stack([shared[:, :, start : start + n_times] for start in starts])
    bias = np.tile(constants / n_latencies, (n_latencies, 1))
    return LinearReadout(weights, bias, float(schedule.step_s))


def _discriminants(
    features: FloatArray, labels: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a discriminant for each class: coefficients (n_classes, n_features), constants (n_classes,)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features.astype(np.float64), labels)
    coefficients, constants = lda.coef_, lda.intercept_
    if len(coefficients) == 1:
        # Of two classes only the difference comes back.
        halves = np.array([-0.5, 0.5])
        return halves[:, None] * coefficients, halves * constants
    return coefficients, constants


def write_linear_onnx(readout: LinearReadout, path: str | Path) -> None:
    """Write a linear decoder as the encoder of a bundle.

    Inputs are ``window`` (n, n_channels, n_times) and ``latency_s`` (n,), float32; the output is
    ``embedding`` (n, n_entries). Between two latencies of the grid the weights are interpolated; before,
    behind, and where the latency is unknown (negative) the embedding is zero: no evidence.

    Parameters
    ----------
    path : str or Path
        File to write.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    n_latencies, n_entries, n_channels, n_times = readout.weights.shape
    matrix = readout.weights.transpose(0, 2, 3, 1).reshape(-1, n_entries)
    constants = {
        "matrix": matrix.astype(np.float32),
        "bias": readout.bias.astype(np.float32),
        "grid": np.arange(n_latencies, dtype=np.float32),
        "step_s": np.float32(readout.step_s),
        "one": np.float32(1),
        "zero": np.float32(0),
        "second": np.array([1], dtype=np.int64),
        "third": np.array([2], dtype=np.int64),
    }
    steps = [
        ("Unsqueeze", ["latency_s", "second"], "latency"),
        ("Div", ["latency", "step_s"], "position"),
        ("Sub", ["position", "grid"], "offset"),
        ("Abs", ["offset"], "distance"),
        ("Sub", ["one", "distance"], "closeness"),
        ("Relu", ["closeness"], "close"),
        ("GreaterOrEqual", ["latency", "zero"], "is_known"),
        ("Where", ["is_known", "close", "zero"], "near"),
        ("Unsqueeze", ["near", "third"], "near_column"),
        ("Flatten", ["window"], "samples"),
        ("Unsqueeze", ["samples", "second"], "samples_row"),
        ("Mul", ["near_column", "samples_row"], "placed"),
        ("Flatten", ["placed"], "placed_row"),
        ("MatMul", ["placed_row", "matrix"], "weighted"),
        ("MatMul", ["near", "bias"], "constant"),
        ("Add", ["weighted", "constant"], "embedding"),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in steps],
        "linear_readout",
        [
            helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", n_channels, n_times]),
            helper.make_tensor_value_info("latency_s", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", n_entries])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    # Old enough for every ONNX Runtime in use.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
