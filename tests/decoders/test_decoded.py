"""What is kept of a recording's trials is what was decided on."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import Decoded, Keeper, latency_ends_s, unit_rows
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec

from .bundles import small_bundle

CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))


def cosine_bundle() -> Bundle:
    """Return a bundle whose similarity is the cosine and whose latencies count differently."""
    weights = np.random.default_rng(0).standard_normal((2 * 20, 3)).astype(np.float32)
    small = small_bundle(weights=weights, window=WindowSpec(reject_peak=50.0))
    manifest = replace(
        small.manifest,
        space=EmbeddingSpace("test", "all", 3),
        calibration=Calibration((0.5, 0.0, 2.0, 1.0, 3.0), 1.0),
    )
    return Bundle(manifest, small.encoder, np.array([[1.0, 2, 0], [0, -1, 3]], np.float32))


def recording(seed: int) -> ArrayRecording:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((4000, 2))
    markers = tuple((400 + 150 * i, "house" if i % 3 else "face") for i in range(20))
    data[1010:1015] = 400.0  # withholds a trial
    return ArrayRecording(data, CHANNELS, 200.0, markers, name=f"run-{seed}")


def decoded(bundle: Bundle, *, windows: bool = False) -> Decoded:
    encoder, scores = Encoder(bundle), Scores(2)
    with Keeper(bundle, windows=windows) as keeper:
        for run in range(2):
            decoder = decode_recording(
                bundle, encoder, recording(run), bundle.manifest.stimuli(), run, keep=keeper
            )
            keeper.end(decoder)
            assert decoder.withheld == 1
            for trial in decoder.scores.trials:
                scores.add(trial)
        return keeper.decoded(scores)


def test_the_embedding_of_a_trial_gives_its_evidence() -> None:
    bundle = cosine_bundle()
    kept = decoded(bundle, windows=True)
    assert kept.embeddings.shape == (38, 5, 3)
    assert kept.runs.tolist() == [0] * 19 + [1] * 19
    evidence = kept.scores.log_evidence()
    gallery = unit_rows(bundle.gallery, "unit")
    np.testing.assert_allclose(kept.trial_embeddings() @ gallery.T, evidence, atol=1e-6)
    np.testing.assert_allclose(kept.evidence_until(kept.similarities(), 4), evidence, atol=1e-6)
    assert kept.windows is not None
    again = Encoder(bundle).encode(np.array(kept.windows[7]), np.zeros(5, np.float32))
    np.testing.assert_allclose(again, kept.embeddings[7], atol=1e-5)
    assert decoded(bundle).windows is None


def test_the_ends_are_those_of_the_windows() -> None:
    assert latency_ends_s(cosine_bundle()).tolist() == [0.1, 0.125, 0.15, 0.175, 0.2]


def test_keeping_other_trials_than_were_scored_is_a_defect() -> None:
    bundle = cosine_bundle()
    with Keeper(bundle) as keeper:
        decoder = decode_recording(
            bundle, Encoder(bundle), recording(0), bundle.manifest.stimuli(), keep=keeper
        )
        decoder.scores.trials.pop(3)
        with pytest.raises(RuntimeError, match="is not what was scored"):
            keeper.end(decoder)
