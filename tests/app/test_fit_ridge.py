"""Ridge regressions of volumes as `train` fits them: ours, and those of papers."""

from pathlib import Path

import numpy as np
import pytest

from decode_stream.config import RidgeModel
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.design import design
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.onnx_model import load_model
from decode_stream.decoders.recipe import Gallery, cut, scaled
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel
from decode_stream.training.fit_ridge import ridge_fit
from decode_stream.training.train import train

NAMES = ("cat", "house", "plane", "tree")
N_VOXELS, N_TRIALS = 30, 24
MODELS: tuple[RidgeModel, ...] = ("ridge", "takagi", "brain-diffuser", "minddiffuser")


def gallery() -> Gallery:
    embeddings = np.random.default_rng(0).standard_normal((len(NAMES), 6)).astype(np.float32)
    return Gallery(NAMES, embeddings, EmbeddingSpace("drawn", "at random", 6), {}, {})


def sessions(n: int = 4) -> list[ArrayRecording]:
    """Return betas of sessions; the last voxel holds no data in the second of them."""
    rng = np.random.default_rng(1)
    tuning = rng.standard_normal((6, N_VOXELS))
    made = []
    for number in range(n):
        which = rng.permutation(np.arange(N_TRIALS) % len(NAMES))
        betas = gallery().embeddings[which] @ tuning + 2 * rng.standard_normal((N_TRIALS, N_VOXELS))
        if number == 1:
            betas[:, -1] = 0.0
        made.append(
            ArrayRecording(
                betas.astype(np.float32),
                tuple(Channel(f"{i},0,0", "voxel", "%") for i in range(N_VOXELS)),
                0.25,
                markers=tuple((i, NAMES[k]) for i, k in enumerate(which)),
                name=f"session-{number + 1}",
                stimuli=StimulusTable(np.arange(N_TRIALS), which),
                epoch=Epoch(1, 0, in_order=True),
            )
        )
    return made


@pytest.mark.parametrize("name", MODELS)
def test_each_learns_and_leaves_out_what_holds_no_data(name: RidgeModel) -> None:
    made, told = sessions(), list[str]()
    recipe = scaled(design(made[:3], "fmri", None, gallery()), made[:3], report=told.append)
    trained = ridge_fit(name)(cut(recipe, made[:3]), recipe, FitOptions())
    assert told == ["1 voxel (29,0,0) of 30 without data in session-2: left out of all, and when live"]
    held = cut(recipe, made[3:])
    known = similarities(trained, held, recipe.gallery, known=True)
    assert hits(known[:, 0], held.labels).mean() > 0.6
    graph = load_model(trained.export(held.windows[:4]))
    windows, latencies_s = held.windows[:, 0], np.zeros(N_TRIALS, np.float32)
    (got,) = graph.run(["embedding"], {"window": windows, "latency_s": latencies_s})
    assert got == pytest.approx(trained.embed(held.windows, True)[:, 0], abs=1e-4)
    silent = windows.copy()
    silent[:, -1] += 100.0
    (same,) = graph.run(["embedding"], {"window": silent, "latency_s": latencies_s})
    assert (same == got).all()


def test_a_choice_at_the_edge_is_told() -> None:
    made, told = sessions(), list[str]()
    recipe = scaled(design(made, "fmri", None, gallery()), made)
    ridge_fit("takagi")(cut(recipe, made), recipe, FitOptions(report=told.append))
    assert any("6 dimensions took the smallest penalty tried, 10000" in line for line in told)


def test_a_session_without_data_is_refused() -> None:
    made = sessions()
    made[2] = ArrayRecording(
        np.zeros_like(made[2].read(0, N_TRIALS)),
        made[2].channels,
        0.25,
        markers=made[2].markers,
        name=made[2].name,
        stimuli=made[2].stimuli,
        epoch=made[2].epoch,
    )
    with pytest.raises(RecordingError, match="30 of 30 voxels never change in session-3"):
        scaled(design(made, "fmri", None, gallery()), made)


def test_more_than_the_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sessions()
    recipe = scaled(design(made, "fmri", None, gallery()), made)
    monkeypatch.setattr("decode_stream.training.fit_ridge.free_bytes", lambda: 50_000)
    with pytest.raises(
        UsageError, match="--model ridge takes .* GB for 96 trials of 30 voxels and 6 numbers"
    ):
        ridge_fit("ridge")(cut(recipe, made), recipe, FitOptions())


def test_more_than_the_memory_holds_is_refused_before_a_trial_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = sessions()
    monkeypatch.setattr("decode_stream.training.fit_ridge.free_bytes", lambda: 50_000)
    monkeypatch.setattr(ArrayRecording, "read", lambda *_: pytest.fail("a recording was read"))
    with pytest.raises(UsageError, match="--model minddiffuser takes .* GB for 96 trials of 30 voxels"):
        train(made, name="b", modality="fmri", model="minddiffuser", gallery=gallery())


def test_a_published_ridge_is_trained_saved_and_run(tmp_path: Path) -> None:
    bundle, held_out = train(sessions(), name="b", modality="fmri", model="brain-diffuser", gallery=gallery())
    assert bundle.manifest.training.model == "brain-diffuser"
    assert held_out.scores.hits().mean() > 0.5
    save_bundle(bundle, tmp_path / "b.bundle")
    windows = np.random.default_rng(0).standard_normal((3, N_VOXELS, 1)).astype(np.float32)
    read = load_bundle(tmp_path / "b.bundle")
    assert Encoder(read).encode(windows, np.zeros(3, np.float32)).shape == (3, 6)
    # Measured on the runs that each of the folds held out: it tells the pictures.
    assert read.readout is not None
    assert read.readout.precision[0] > 0
