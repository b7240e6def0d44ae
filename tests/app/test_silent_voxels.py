"""Voxels without data in some session, for every kind of model: nothing of them is learnt, scored or decoded live."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from decode_stream.config import Model
from decode_stream.decoders.brain.readout import readout_of
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.encoders.mind_eye import MindEyeConfig
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.runtime import Encoder
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.filters import CausalChain
from decode_stream.training import whole_trial_models
from decode_stream.training.train import train
from tests.app.test_fit_ridge import N_TRIALS, N_VOXELS, gallery, sessions

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("model", ["ridge", "mindeye"])
def test_a_voxel_without_data_in_a_session_is_out_live_as_well(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(MindEyeConfig, width=64, n_blocks=1, projector_width=16)
    monkeypatch.setattr(whole_trial_models, "MindEyeConfig", small)
    made, told = sessions(), list[str]()
    options = FitOptions(n_epochs=1 if model == "mindeye" else None, report=told.append)
    bundle, _ = train(made, name="b", modality="fmri", model=model, gallery=gallery(), options=options)
    assert told.count("1 voxel (29,0,0) of 30 without data in session-2: left out of all, and when live") == 1
    bundle = save_bundle(bundle, tmp_path / "b.bundle")
    bundle = load_bundle(tmp_path / "b.bundle")
    encoder = Encoder(bundle)

    def live(data: np.ndarray) -> np.ndarray:
        chain = CausalChain(bundle.manifest.chain, made[0].channels, 0.25)
        windows = chain.process(data, 0)[:, :, None]
        return encoder.encode(windows, np.zeros(len(windows), np.float32))

    seen = made[0].read(0, N_TRIALS).copy()
    before = live(seen)
    seen[:, -1] += 100.0
    assert np.array_equal(live(seen), before)
    seen[:, 0] += 100.0
    assert not np.array_equal(live(seen), before)
    readout = readout_of(bundle, encoder)
    raised = np.zeros((2, N_VOXELS, 1), np.float32)
    raised[1, -1] = 3.0
    same, as_raised = readout.read(raised).embeddings
    assert same == pytest.approx(as_raised, abs=1e-6)


def test_a_session_with_a_voxel_that_is_no_number_is_refused_before_anything_is_fitted() -> None:
    made, told = sessions(), list[str]()
    made[0].data[:, 4] = np.nan
    with pytest.raises(
        RecordingError, match=r"session-1: .* in 24 of 24 samples, in 1 voxel \(4,0,0\) of 30"
    ):
        train(
            made,
            name="b",
            modality="fmri",
            model="ridge",
            gallery=gallery(),
            options=FitOptions(report=told.append),
        )
    assert not any("fitting" in line for line in told)
