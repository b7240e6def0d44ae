"""How long each node of a network takes, by ONNX Runtime's own clock."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from decode_stream.decoders.onnx_model import OnnxModel, load_model

__all__ = ["node_times_ms"]

_RUNS = 3
_SUFFIX = "_kernel_time"


class _Event(msgspec.Struct):
    """A line of the profile."""

    name: str
    dur: float = 0.0


def node_times_ms(model: OnnxModel, given: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, float]:
    """Return what each node takes for the first row of the inputs, on one core of this machine, by name.

    Nodes are run as they stand in the file, none joined with another, so that each can be named; together they may
    take longer than the network does.

    Parameters
    ----------
    model : OnnxModel
        Its nodes have names of their own.
    given : mapping of str to array of shape (n, ...), float32
        Its inputs.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    row = {name: values[:1] for name, values in given.items()}
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "nodes")
        session = load_model(model, options)
        for _ in range(_RUNS):
            session.run(None, row)
        events = msgspec.json.decode(Path(session.end_profiling()).read_bytes(), type=list[_Event])
    times = dict[str, float]()
    for event in events:
        if event.name.endswith(_SUFFIX):
            name = event.name.removesuffix(_SUFFIX)
            times[name] = times.get(name, 0.0) + event.dur / 1e3 / _RUNS
    return times
