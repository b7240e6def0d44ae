"""What a fitted encoder costs."""

import numpy as np
import pytest
from benchmarks.fitted import encoded

from decode_stream.decoders.encoders.ridge import RidgeReadout
from decode_stream.decoders.recipe import Trained
from decode_stream.export.linear import export_ridge


def test_an_encoder_whose_tensors_lie_beside_its_graph_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode_stream.export.large_tensors.MOST_INSIDE_BYTES", 2000)
    rng = np.random.default_rng(0)
    readout = RidgeReadout(rng.standard_normal((30, 40)), np.zeros(40), np.ones(40))
    sample = rng.standard_normal((5, 1, 30, 2)).astype(np.float32)
    assert export_ridge(readout, sample).data
    trained = Trained(lambda windows, known: readout.embed(windows), lambda w: export_ridge(readout, w))
    n_parameters, took_ms = encoded(trained, sample)
    assert n_parameters >= 30 * 40
    assert took_ms > 0
