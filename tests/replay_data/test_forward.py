"""Simulated subjects: the model, its file, and that sources, sensors and noise are what they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.simulation.embedding_geometry import (
    CLIP_GEOMETRY,
    LAYOUT_GEOMETRY,
    draw_embeddings,
    geometry_of,
    join_parts,
)
from decode_stream.replay_data.simulation.forward import ForwardModel, load_forward, save_forward
from decode_stream.replay_data.simulation.head_models import (
    CENTRE_M,
    brain_dipoles,
    eeg_channels,
    eeg_lead_field,
    meg_channels,
    meg_lead_field,
)
from decode_stream.replay_data.simulation.noise_blocks import NoiseBlocks, variance
from decode_stream.replay_data.simulation.subjects import eeg_subject, meg_subject
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray

FEW = ("PO7", "O1", "Oz", "O2", "PO8", "Pz", "Fp1", "Fp2")


@pytest.fixture(scope="module")
def looks() -> FloatArray:
    rng = np.random.default_rng(0)
    layout, meaning = (draw_embeddings(g, 40, 1, rng) for g in (LAYOUT_GEOMETRY, CLIP_GEOMETRY))
    return join_parts(layout, meaning)


@pytest.fixture(scope="module")
def subject(looks: FloatArray) -> ForwardModel:
    return eeg_subject(looks, 64, seed=1, sfreq_hz=250.0, names=FEW)


def test_a_subject_comes_back_from_its_file_as_it_was(
    subject: ForwardModel, looks: FloatArray, tmp_path: Path
) -> None:
    path = tmp_path / "one.forward.safetensors"
    save_forward(subject, path)
    back = load_forward(path)
    assert back.channels == subject.channels
    assert back.notes == subject.notes
    assert [part.name for part in back.noise] == [part.name for part in subject.noise]
    for ours, theirs in zip(back.noise, subject.noise, strict=True):
        np.testing.assert_array_equal(ours.sos, theirs.sos)
        np.testing.assert_array_equal(ours.topographies, theirs.topographies)
    np.testing.assert_array_equal(back.maps, subject.maps)
    np.testing.assert_array_equal(back.artefacts.blink, subject.artefacts.blink)
    np.testing.assert_array_equal(back.drives(looks), subject.drives(looks))


def test_the_same_seed_is_the_same_person_and_another_is_not(
    subject: ForwardModel, looks: FloatArray
) -> None:
    again, other = (eeg_subject(looks, 64, seed=s, sfreq_hz=250.0, names=FEW) for s in (1, 2))
    np.testing.assert_array_equal(again.maps, subject.maps)
    assert not np.allclose(other.maps, subject.maps)


def test_layout_comes_early_and_meaning_late(subject: ForwardModel) -> None:
    peaks_s = subject.courses.argmax(axis=1) / subject.sfreq_hz
    for peak_s, of_component in zip(peaks_s, subject.maps, strict=True):
        layout, meaning = np.abs(of_component[:64]).max(), np.abs(of_component[64:]).max()
        assert (layout > 0) == (peak_s <= 0.13)
        assert (meaning > 0) == (peak_s >= 0.15)


def test_the_specific_part_belongs_to_the_picture(subject: ForwardModel, looks: FloatArray) -> None:
    together = subject.drives(looks)
    alone = subject.drives(looks[7:8].astype(np.float64))
    np.testing.assert_allclose(alone[0], together[7], rtol=1e-12)
    rest = together - (looks @ subject.weights.astype(np.float64) + subject.bias)
    # Standard deviation sqrt(0.4) of 40 pictures x 96 sources, to 3.3 standard errors.
    assert rest.std() == pytest.approx(float(subject.specific[0]), rel=0.04)


def test_a_picture_drives_as_much_as_the_loudness_says(subject: ForwardModel, looks: FloatArray) -> None:
    spread = subject.drives(looks).var(axis=0)
    assert spread.mean() == pytest.approx(1.0, rel=0.1)


def test_the_response_is_largest_over_the_back_of_the_head() -> None:
    rng = np.random.default_rng(3)
    looks = rng.standard_normal((30, 8)).astype(np.float32)
    forward = eeg_subject(looks, 4, seed=4)
    size = np.sqrt((forward.topographies.astype(np.float64) ** 2).sum(axis=0))
    by_name = dict(zip([channel.name for channel in forward.channels], size, strict=True))
    assert min(by_name[name] for name in ("O1", "Oz", "O2", "PO7", "PO8")) > 2 * by_name["FCz"]


def test_radial_dipoles_are_silent_in_meg_and_tangential_ones_are_not() -> None:
    channels = meg_channels(12)
    places, moments = brain_dipoles(5, np.random.default_rng(0))
    out = places - np.array(CENTRE_M)
    radial = out / np.linalg.norm(out, axis=1, keepdims=True)
    loud = np.abs(meg_lead_field(channels, places, moments)).max()
    assert np.abs(meg_lead_field(channels, places, radial)).max() < 1e-9 * loud
    # 10 nAm of cortex give 10 to 1000 fT.
    assert 1.0 < loud < 100.0


def test_eeg_is_referenced_to_fz_and_linear_in_the_moment() -> None:
    channels = eeg_channels(("Fz", "Oz", "Cz"))
    places, moments = brain_dipoles(4, np.random.default_rng(1))
    field = eeg_lead_field(channels, places, moments)
    np.testing.assert_allclose(field[:, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(eeg_lead_field(channels, places, -2 * moments), -2 * field, atol=1e-9)
    assert 0.001 < np.abs(field).max() < 2.0  # uV of 1 nAm


def test_meg_has_the_gradiometers_of_things_meg() -> None:
    channels = meg_channels()
    names = [channel.name for channel in channels]
    assert len(set(names)) == 271
    assert "MRO11-1609" not in names
    assert {channel.type for channel in channels} == {"mag"}
    left = [channel.position_m for channel in channels if channel.name.startswith("ML")]
    assert np.mean([place is not None and place[0] < 0.005 for place in left]) == 1.0


def test_meg_subject_has_fewer_sources_of_background_than_dipoles_but_all_their_covariance(
    looks: FloatArray,
) -> None:
    forward = meg_subject(looks, 64, seed=1, sfreq_hz=300.0, n_channels=20)
    background = forward.noise[0]
    assert background.n_sources <= 20
    rms = np.sqrt((background.topographies.astype(np.float64) ** 2).sum(axis=0).mean())
    assert rms == pytest.approx(250.0, rel=1e-5)


def test_noise_has_the_covariance_that_its_filters_say(subject: ForwardModel) -> None:
    from scipy import signal

    # Gaussian noise without artefacts: variance by channel within the error of its own autocorrelation.
    n_times, n_blocks = 50, 6000
    noise = NoiseBlocks(subject.noise, n_times, seed=5)
    data = np.concatenate([noise.block(i) for i in range(n_blocks)])
    expected = np.zeros((len(subject.channels),) * 2)
    for part in subject.noise:
        assert part.name in ("sensors", "reference") or variance(part.sos) == pytest.approx(1.0)
        maps = part.topographies.astype(np.float64)
        expected += np.diag(maps**2) if maps.ndim == 1 else maps.T @ maps
    got = data.T @ data / len(data)
    np.testing.assert_allclose(got, expected, atol=0.08 * expected.max())
    # And the autocovariance of the background, against the filter's impulse response.
    part = subject.noise[0]
    impulse = np.zeros(40_000)
    impulse[0] = 1.0
    h = signal.sosfilt(part.sos, impulse)
    alone = NoiseBlocks((replace(part, topographies=np.ones((1, 1), np.float32)),), n_times, seed=6)
    x = np.concatenate([alone.block(i) for i in range(20_000)])[:, 0]
    for lag in (1, 5, 25, 125):
        assert np.mean(x[lag:] * x[:-lag]) == pytest.approx(float(h[lag:] @ h[:-lag]), abs=0.06)


def test_noise_starts_in_its_steady_state(subject: ForwardModel) -> None:
    part = replace(subject.noise[0], topographies=np.eye(400, dtype=np.float32))
    first = NoiseBlocks((part,), 5, seed=1).block(0)
    assert (first[0] ** 2).mean() == pytest.approx(1.0, abs=0.3)


def test_poles_on_the_unit_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="unit circle"):
        variance(np.array([[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]]))


def test_drawn_embeddings_have_the_geometry_asked_for() -> None:
    drawn = draw_embeddings(CLIP_GEOMETRY, 1500, 2, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, rtol=1e-5)
    got = geometry_of(drawn[::2])
    assert got.mean_cosine == pytest.approx(CLIP_GEOMETRY.mean_cosine, abs=0.03)
    np.testing.assert_allclose(got.spectrum[:5], CLIP_GEOMETRY.spectrum[:5], rtol=0.25)
    within = (drawn[::2] * drawn[1::2]).sum(axis=1).mean()
    # 0.54 of the mean and 0.6 of the rest are the concept's.
    assert within == pytest.approx(0.54 + 0.6 * 0.46, abs=0.03)


def test_the_constants_have_the_geometry_of_clip(real_data: Path) -> None:
    real = geometry_of(np.load(real_data / "clip_things_eeg2_test" / "clip_feature_maps_test.npy")[:, 0])
    assert CLIP_GEOMETRY.mean_cosine == pytest.approx(real.mean_cosine, abs=0.02)
    share = real.spectrum[:127] / real.spectrum[:127].sum()
    np.testing.assert_allclose(np.cumsum(CLIP_GEOMETRY.spectrum)[::10], np.cumsum(share)[::10], atol=0.12)


@pytest.mark.parametrize("damage", ["cut", "text", "other", "schema"])
def test_a_damaged_file_is_refused_in_words(subject: ForwardModel, tmp_path: Path, damage: str) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "one.forward.safetensors"
    save_forward(subject, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("no model")
    elif damage == "other":
        save_file({"x": np.zeros(3)}, path)
    else:
        save_file({"x": np.zeros(3)}, path, {"forward": '{"schema": 99}'})
    with pytest.raises(RecordingError, match=r"one\.forward\.safetensors"):
        load_forward(path)


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        load_forward(tmp_path / "none.forward.safetensors")


def test_arrays_that_do_not_fit_are_refused(subject: ForwardModel) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        replace(subject, bias=subject.bias[:-1])
    with pytest.raises(ValueError, match="do not fit"):
        replace(subject, noise=subject.noise[:2])
    with pytest.raises(ValueError, match="not finite"):
        replace(subject, weights=subject.weights * np.float32(np.nan))


@pytest.mark.parametrize("pole", [1.0, 1.1, np.nan])
def test_a_file_whose_noise_would_explode_is_refused(
    subject: ForwardModel, tmp_path: Path, pole: float
) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "one.forward.safetensors"
    save_forward(subject, path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    arrays["noise.0.sos"] = np.array([[1.0, 0.0, 0.0, 1.0, -pole, 0.0]])
    save_file(arrays, path, metadata)
    with pytest.raises(RecordingError, match="outside the unit circle"):
        load_forward(path)


def test_an_unknown_electrode_is_named() -> None:
    with pytest.raises(ValueError, match="Qz"):
        eeg_channels(("Oz", "Qz"))
