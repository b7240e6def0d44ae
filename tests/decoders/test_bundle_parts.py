"""What a bundle may hold besides: novelty, projector, structure, weights; and bundles of schema 1."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import softmax

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.decoded import Keeper
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.evidence import Calibration, Evidence
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.manifest import SCHEMA, EmbeddingSpace
from decode_stream.decoders.novelty import Novelty, fit_familiar, fit_novelty
from decode_stream.decoders.runtime import Encoder
from decode_stream.pictures.gallery import with_gallery
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import BundleError
from decode_stream.stream.types import Channel

from .bundles import edit_manifest, linear_onnx, small_bundle, weighing


def small_novelty(n_channels: int = 2, n_latencies: int = 5) -> Novelty:
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((40, n_latencies, n_channels, 20)).astype(np.float32)
    familiar = fit_familiar(windows[:20])
    return fit_novelty(familiar, np.stack([familiar.distances(trial) for trial in windows[20:]]))


def with_structure(bundle: Bundle) -> Bundle:
    """Return a bundle whose encoder gives a structure too: the sums of each channel and of both."""
    model = onnx.load_model_from_string(bundle.encoder)
    graph, n_times = model.graph, 20
    sums = np.kron(np.eye(2), np.ones((n_times, 1))) @ np.array([[1, 0, 1], [0, 1, 1]])
    graph.initializer.append(numpy_helper.from_array(sums.astype(np.float32), "sums"))
    graph.node.append(helper.make_node("MatMul", ["flat", "sums"], ["structure"]))
    graph.output.append(helper.make_tensor_value_info("structure", TensorProto.FLOAT, ["batch", 3]))
    manifest = replace(bundle.manifest, structure=EmbeddingSpace("colours", "pixels", 3, "none"))
    return replace(bundle, manifest=manifest, encoder=model.SerializeToString())


def whole_bundle() -> Bundle:
    """Return a bundle with every part that one may have."""
    return replace(
        with_structure(small_bundle()),
        novelty=small_novelty(),
        gallery=np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).T,  # not in the order of C
        projector=GalleryProjector(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)),
        features=np.array([True, False, True]),
        weights={"net.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3), "steps": np.array(7)},
    )


@pytest.mark.parametrize("name", ["b.bundle", "b.bundle.zip"])
def test_every_part_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    saved = save_bundle(whole_bundle(), tmp_path / name)
    again = load_bundle(tmp_path / name, weights=True)
    assert again.manifest == saved.manifest
    assert {"novelty", "projector", "features", "weights"} <= {
        n.partition(".")[0] for n in saved.manifest.files
    }
    assert again.novelty is not None
    assert again.projector is not None
    for part, array in small_novelty().tensors().items():
        assert np.array_equal(again.novelty.tensors()[part], array)
    assert np.array_equal(again.projector.weight, np.eye(2))
    assert again.features is not None
    assert again.features.tolist() == [True, False, True]
    assert {name: value.tolist() for name, value in again.weights.items()} == {
        "net.weight": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        "steps": 7,
    }
    assert again.gallery.tolist() == saved.gallery.tolist()
    plain = load_bundle(save_and_path(small_bundle(), tmp_path / f"plain-{name}"))
    assert (plain.novelty, plain.projector, plain.features, plain.weights) == (None, None, None, {})


def save_and_path(bundle: Bundle, path: Path) -> Path:
    save_bundle(bundle, path)
    return path


def test_a_session_never_reads_the_weights(tmp_path: Path) -> None:
    path = save_and_path(whole_bundle(), tmp_path / "b.bundle")
    (path / "weights.safetensors").unlink()
    bundle = load_bundle(path)
    assert bundle.weights == {}
    assert Encoder(bundle).provider == "CPU"
    with pytest.raises(BundleError, match=r"weights.safetensors in .* is missing"):
        load_bundle(path, weights=True)
    source = Path(__file__).parents[2] / "src" / "decode_stream"
    asking = {path.stem for path in source.glob("*.py") if "weights=True" in path.read_text(encoding="utf-8")}
    assert not asking & {"run", "live", "session", "pipeline", "evaluate", "evaluation", "demo"}


@pytest.mark.parametrize("part", ["novelty", "projector", "features", "weights"])
def test_a_changed_byte_of_a_part_is_found(tmp_path: Path, part: str) -> None:
    path = save_and_path(whole_bundle(), tmp_path / "b.bundle")
    data = bytearray((path / f"{part}.safetensors").read_bytes())
    data[-1] ^= 1
    (path / f"{part}.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match=rf"{part}.safetensors.*SHA-256"):
        load_bundle(path, weights=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"novelty": small_novelty(3)}, "novelty.safetensors of 'small' is for 3 numbers where .* 2"),
        ({"novelty": small_novelty(2, 4)}, "novelty.safetensors of 'small' is for 4 numbers where .* 5"),
        ({"features": np.ones(2, bool)}, "features.safetensors of 'small' is for 2 numbers where .* 3"),
        (
            {"projector": GalleryProjector(np.ones((2, 3), np.float32), np.zeros(2, np.float32))},
            "projector.safetensors of 'small' is for 3 numbers where .* 2",
        ),
        (
            {"projector": GalleryProjector(np.ones((4, 2), np.float32), np.zeros(4, np.float32))},
            r"embeddings of shape \(2, 2\) .* of shape \(2, 4\)",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        replace(whole_bundle(), **changes)  # type: ignore[arg-type]


def test_a_damaged_novelty_is_refused_in_words(tmp_path: Path) -> None:
    wrong = small_novelty().tensors() | {"spread": np.zeros((2, 9))}
    with pytest.raises(ValueError, match="do not fit each other"):
        Novelty(**wrong)
    with pytest.raises(ValueError, match="not finite"):
        Novelty(**(small_novelty().tensors() | {"scale": np.full((5, 4), np.nan)}))


def test_the_structure_is_told_where_it_is_asked_for() -> None:
    encoder = Encoder(with_structure(small_bundle()))
    windows, latencies = np.ones((3, 2, 20), np.float32), np.zeros(3, np.float32)
    windows[1, 1] = 2.0
    embedding, structure = encoder.encode_both(windows, latencies)
    assert embedding.tolist() == encoder.encode(windows, latencies).tolist()
    assert structure[:2] == pytest.approx(np.array([[20.0, 20, 40], [20, 40, 60]]))
    with pytest.raises(ValueError, match="gives no structure"):
        Encoder(small_bundle()).encode_both(windows, latencies)


def test_a_structure_of_another_dimension_is_refused() -> None:
    bundle = with_structure(small_bundle())
    wrong = replace(bundle.manifest, structure=EmbeddingSpace("colours", "pixels", 5, "none"))
    with pytest.raises(BundleError, match=r"a structure of shape \(3,\) and its manifest says \(5,\)"):
        Encoder(replace(bundle, manifest=wrong))


def test_a_gallery_is_made_in_the_space_that_a_projector_leads_to() -> None:
    small = small_bundle(weights=np.zeros((40, 3), np.float32))
    rng = np.random.default_rng(0)
    projector = GalleryProjector(*(rng.standard_normal(s).astype(np.float32) for s in ((3, 2), 3)))
    bundle = replace(
        small, gallery=projector.project(small.gallery), projector=projector, weights={"a": np.ones(1)}
    )
    assert bundle.dimension == 3
    Encoder(bundle)
    pictures = rng.standard_normal((4, 2)).astype(np.float32)
    other = with_gallery(bundle, ["a", "b", "c", "d"], pictures, {}, {}, name="other")
    assert other.gallery == pytest.approx(pictures @ projector.weight.T + projector.bias)
    assert other.projector is projector
    assert other.weights == bundle.weights
    assert other.sha256 == ""


def test_a_manifest_of_schema_1_is_brought_on(tmp_path: Path) -> None:
    path = save_and_path(small_bundle(), tmp_path / "old.bundle")
    raw = json.loads((path / "bundle.json").read_text())
    old = {key: raw[key] for key in raw if key not in ("first_s", "structure")}
    old["calibration"] = {"weights": [1.0] * 5, "free_running": 1.0}
    (path / "bundle.json").write_text(json.dumps(old))
    edit_manifest(path, schema=1)
    bundle = load_bundle(path)
    manifest = bundle.manifest
    assert manifest.schema == SCHEMA
    assert manifest.calibration == small_bundle().manifest.calibration
    assert not manifest.calibration.growing
    assert (manifest.first_s, manifest.structure, bundle.novelty) == (None, None, None)
    # It says what it said: sums, each window times its weight.
    said = np.random.default_rng(0).standard_normal((manifest.n_latencies, 20))
    evidence = Evidence(manifest.calibration, 20)
    for k in range(manifest.n_latencies):
        evidence.add(0, k, said[k])
        summed = softmax(np.array(manifest.calibration.weights)[: k + 1] @ said[: k + 1])
        assert evidence.belief(0) == pytest.approx(summed, abs=1e-12)
    edit_manifest(path, calibration={"free_running": 1.0})
    with pytest.raises(BundleError, match="not a valid manifest"):
        load_bundle(path)


def test_growing_windows_need_a_calibration_of_such(tmp_path: Path) -> None:
    path = save_and_path(small_bundle(), tmp_path / "b.bundle")
    edit_manifest(path, first_s=0.05)
    with pytest.raises(BundleError, match="do not agree on whether windows grow"):
        load_bundle(path)


CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))


def showings_recording() -> ArrayRecording:
    """Return noise in which three faces and two houses are shown, and one face with a channel that is dead."""
    data = np.random.default_rng(3).standard_normal((4000, 2))
    codes = ["2", "1", "2", "1", "2"]
    onsets = [300 + 600 * i for i in range(5)]
    for onset, code in zip(onsets, codes, strict=True):
        data[onset : onset + 20, 0] += 5.0 * (2 * int(code) - 3)
    data[onsets[4] : onsets[4] + 200, 1] = 0
    return ArrayRecording(data, CHANNELS, 200.0, tuple(zip(onsets, codes, strict=True)))


def test_a_decoder_tells_novelty_and_what_it_knows_from_repeats() -> None:
    calibration = Calibration((0.05,) * 5, 1.0, repeat_correlation=0.5)
    small = small_bundle()
    bundle = replace(
        small, manifest=replace(small.manifest, calibration=calibration), novelty=small_novelty()
    )
    decoder = decode_recording(bundle, Encoder(bundle), showings_recording(), bundle.manifest.stimuli())
    trials = decoder.scores.trials
    assert [trial.showing for trial in trials] == [1, 1, 2, 2, 3]
    faces = [trial.log_evidence for trial in trials if trial.stimulus == 1]
    assert decoder.repeated_belief("2") == pytest.approx(softmax(sum(faces) / 2))
    assert trials[4].repeated_log_loss == pytest.approx(-np.log(decoder.repeated_belief("2")[1]))
    assert trials[0].repeated_right == 1.0
    assert all(0 <= trial.novelty <= 1 for trial in trials)
    assert trials[4].novelty > 0.99
    assert decoder.novelty is not None
    assert decoder.novelty > 0.99
    plain = decode_recording(small, Encoder(small), showings_recording(), small.manifest.stimuli())
    assert plain.novelty is None
    assert np.isnan(plain.scores.trials[0].novelty)


def test_wide_encoders_without_a_projector_are_refused() -> None:
    bundle = replace(small_bundle(), encoder=linear_onnx(np.zeros((40, 3), np.float32)))
    with pytest.raises(BundleError, match=r"embeddings of shape \(3,\) and its manifest says \(2,\)"):
        Encoder(bundle)


def test_showings_are_weighed_live_as_they_are_afterwards(tmp_path: Path) -> None:
    bundle = load_bundle(save_and_path(weighing(small_bundle()), tmp_path / "b.bundle"))
    assert bundle.weighs_showings
    recording, encoder = showings_recording(), Encoder(bundle)
    with Keeper(bundle) as keeper:
        decoder = decode_recording(bundle, encoder, recording, bundle.manifest.stimuli(), keep=keeper)
        keeper.end(decoder)
        kept = keeper.decoded(decoder.scores)
    assert kept.truth.tolist() == [1, 0, 1, 0, 1]
    faces = kept.evidence_of_showings([np.array([0, 2, 4])])
    # What is left comes again by a tenth.
    assert decoder.repeated_belief("2") == pytest.approx(softmax(faces[0] / 1.2), abs=1e-5)
    assert kept.evidence_of_showings([np.array([3])]) == pytest.approx(decoder.scores.log_evidence()[3:4])
    summed = decoder.scores.log_evidence()[[0, 2, 4]].sum(axis=0)
    assert np.abs(np.diff(faces[0]) - np.diff(summed)) > 0.1
    # The mean of the showings, worked out by hand.
    weights = np.array(bundle.manifest.calibration.weights)
    total = np.einsum("nkd,k->d", kept.embeddings[[0, 2, 4]], weights)
    expected = bundle.gallery[:, :2].astype(float)
    by_hand = (total[:2] * expected - 0.5 * total[2] * expected**2) / (1 + 2 * np.array([0.6, 0.1]))
    assert faces[0] == pytest.approx(by_hand.sum(axis=1), abs=1e-5)


def test_without_what_comes_again_showings_count_as_they_did() -> None:
    bundle = weighing(small_bundle())
    assert bundle.projector is not None
    plain = replace(bundle, projector=replace(bundle.projector, rho=None))
    assert not plain.weighs_showings
    of_plain, of_weighing = (
        decode_recording(one, Encoder(one), showings_recording(), one.manifest.stimuli())
        for one in (plain, bundle)
    )
    np.testing.assert_array_equal(of_plain.scores.log_evidence(), of_weighing.scores.log_evidence())
    evidence = of_plain.scores.log_evidence()
    summed = softmax((evidence[0] + evidence[2] + evidence[4]) / 1.2)
    np.testing.assert_array_equal(of_plain.repeated_belief("2"), summed)
