"""What benchmarks of decoders on simulated people share: their galleries, and what a fitted encoder costs."""

import time

import numpy as np
import numpy.typing as npt
import onnx

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.onnx_model import load_model
from decode_stream.decoders.recipe import Gallery, Trained
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["beside_ideal", "encoded", "numbered", "simulated_gallery"]

_TIMED = 200


def simulated_gallery(embeddings: FloatArray, places: IntArray) -> Gallery:
    """Return some of the simulated pictures as a gallery, each by its number.

    Parameters
    ----------
    embeddings : array of shape (n_pictures, n_dims)
        Of all pictures.
    places : array of shape (n_entries,), int64
    """
    names = tuple(str(place) for place in places)
    space = EmbeddingSpace("simulated", "layout and meaning", embeddings.shape[1])
    return Gallery(names, embeddings[places].astype(np.float32), space, {}, {})


def numbered(shown: IntArray, places: IntArray) -> tuple[IntArray, IntArray]:
    """Return the trials that show some of the pictures, and the place of each one's picture among them.

    Parameters
    ----------
    shown : array of shape (n_trials,), int64
        The picture of each trial.
    places : array of shape (n_pictures,), int64
        In ascending order.
    """
    which = np.flatnonzero(np.isin(shown, places))
    return which, np.searchsorted(places, shown[which]).astype(np.int64)


def beside_ideal(
    right: FloatArray, ideal: FloatArray, truth: IntArray, k: int, n_training: int
) -> dict[str, object]:
    """Return accuracy among k pictures with its interval over pictures, and the fraction of the ideal observer's.

    Parameters
    ----------
    right, ideal : array of shape (n,)
        Whether each trial was right, of the decoder and of the ideal observer.
    truth : array of shape (n,), int64
        What each showed.
    n_training : int
        Trials that the decoder was trained on.
    """
    fraction = fraction_of_ideal(right, ideal, 1 / k, n_training, pictures=truth)
    low, high, _ = picture_interval(right, truth)
    return {
        "n": len(truth),
        "top1": round(float(right.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "ideal": round(fraction.ideal, 4),
        "fraction": [round(v, 3) for v in (fraction.value, fraction.low, fraction.high)],
        "caveats": fraction.caveats,
    }


def encoded(trained: Trained, sample: npt.NDArray[np.float32]) -> tuple[int, float]:
    """Return the parameters of the exported network, and the milliseconds of one core that a window takes.

    Parameters
    ----------
    sample : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        A few whole trials.
    """
    import onnxruntime as ort

    model = trained.export(sample)
    graph = onnx.load_from_string(model.graph).graph
    n_parameters = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = load_model(model, options)
    given = {"window": sample[0, -1:], "latency_s": np.zeros(1, np.float32)}
    took_ms = []
    for _ in range(_TIMED):
        began_ns = time.thread_time_ns()
        session.run(["embedding"], given)
        took_ms.append((time.thread_time_ns() - began_ns) / 1e6)
    return n_parameters, float(np.median(took_ms))
