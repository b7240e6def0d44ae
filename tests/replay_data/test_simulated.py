"""Simulated recordings: the same samples however they are read, what they hold, and their files."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import Spaced, Timing
from decode_stream.replay_data.simulation.simulate_things import (
    EegScale,
    MegScale,
    simulate_things_eeg,
    simulate_things_meg,
    things_eeg_pictures,
    things_meg_pictures,
)
from decode_stream.replay_data.simulation.simulated import SimulatedRecording, Simulation
from decode_stream.replay_data.simulation.simulation_files import save_simulation
from decode_stream.replay_data.simulation.subjects import eeg_subject
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable

FEW = ("PO7", "O1", "Oz", "O2", "PO8", "Fp1")
SCALE = EegScale(
    n_train_concepts=4, n_test_concepts=3, n_sessions=4, n_parts=2, train_repeats=2, test_repeats=4
)
PICTURES = things_eeg_pictures(SCALE, seed=3)


@pytest.fixture(scope="module")
def subject() -> ForwardModel:
    return eeg_subject(PICTURES.embeddings, PICTURES.n_layout, seed=1, sfreq_hz=200.0, names=FEW)


@pytest.fixture(scope="module")
def recordings(subject: ForwardModel) -> list[SimulatedRecording]:
    return simulate_things_eeg(SCALE, seed=3, pictures=PICTURES, forward=subject)


@pytest.fixture(scope="module")
def recording(recordings: list[SimulatedRecording]) -> SimulatedRecording:
    return recordings[0]


@pytest.fixture(scope="module")
def whole(recording: SimulatedRecording) -> np.ndarray:
    return recording.read(0, recording.n_samples)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_samples_do_not_depend_on_how_they_are_read(
    recording: SimulatedRecording, whole: np.ndarray, data: st.DataObject
) -> None:
    fresh = SimulatedRecording(recording.simulation)
    edge = st.integers(0, recording.n_samples)
    for _ in range(data.draw(st.integers(1, 4))):
        start, stop = sorted((data.draw(edge), data.draw(edge)))
        stop = min(stop, start + 400)
        np.testing.assert_array_equal(fresh.read(start, stop), whole[start:stop])


def test_reading_beyond_the_ends_gives_what_there_is(
    recording: SimulatedRecording, whole: np.ndarray
) -> None:
    n = recording.n_samples
    assert recording.read(n, n + 10).shape == (0, len(FEW))
    np.testing.assert_array_equal(recording.read(n - 3, n + 10), whole[-3:])
    np.testing.assert_array_equal(recording.read(5, 5), np.empty((0, len(FEW))))


def test_a_recording_is_evoked_responses_plus_noise_plus_artefacts(
    recording: SimulatedRecording, whole: np.ndarray
) -> None:
    simulation = recording.simulation
    nothing = replace(simulation, shown=simulation.shown[:0], stimuli=StimulusTable())
    noise = SimulatedRecording(nothing).without_artefacts().read(0, recording.n_samples)
    artefacts = SimulatedRecording(nothing).read(0, recording.n_samples) - noise
    evoked = np.zeros_like(whole)
    forward = simulation.forward
    drives = forward.drives(simulation.embeddings[simulation.shown])
    for onset, drive in zip(simulation.stimuli.onset, drives, strict=True):
        course = forward.courses[forward.component].astype(np.float64).T * drive
        response = course @ forward.topographies.astype(np.float64)
        evoked[onset : onset + len(response)] += response[: len(evoked) - onset]
    np.testing.assert_allclose(evoked + noise + artefacts, whole, atol=1e-9)
    assert np.ptp(evoked) > 1.0


def test_artefacts_are_blinks_line_drift_and_bad_channels(subject: ForwardModel) -> None:
    n = 200 * 60
    silent = tuple(
        replace(part, sos=part.sos * np.array([1e-9, 1e-9, 1e-9, 1, 1, 1])) for part in subject.noise
    )
    quiet = replace(subject, noise=silent)
    simulation = Simulation(quiet, PICTURES.embeddings, np.empty(0, np.int64), StimulusTable(), n, seed=1)
    x = SimulatedRecording(simulation).read(0, n)
    front = FEW.index("Fp1")
    spectrum = np.abs(np.fft.rfft(x[:, 2])) ** 2
    f_hz = np.fft.rfftfreq(n, 1 / 200.0)
    assert f_hz[5:][spectrum[5:].argmax()] < 2.0  # blinks and drift
    assert f_hz[f_hz > 20][spectrum[f_hz > 20].argmax()] == pytest.approx(50.0, abs=0.1)
    blinks = np.abs(subject.artefacts.blink)
    assert blinks[front] == blinks.max() == pytest.approx(150.0)
    assert np.abs(x[:, front]).max() > 0.6 * 150
    rough = np.diff(x, axis=0).std(axis=0)
    assert (rough[front] > 5 * rough[2]) == (subject.artefacts.bad[front] > 0)
    assert SimulatedRecording(simulation).without_artefacts().read(0, n).std() < 1e-3


def test_layout_is_decodable_early_and_meaning_late() -> None:
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((40, 12)).astype(np.float32)
    forward = eeg_subject(looks, 6, seed=2, sfreq_hz=200.0, names=FEW)
    calm = [replace(part, topographies=part.topographies * np.float32(0.1)) for part in forward.noise]
    forward = replace(forward, noise=tuple(calm))
    onset = 200 + 160 * np.arange(200)
    shown = rng.permutation(np.tile(np.arange(40), 5))
    simulation = Simulation(
        forward, looks, shown, StimulusTable(onset), int(onset[-1]) + 200, seed=1, artefacts=False
    )
    recording = SimulatedRecording(simulation)
    epochs = np.stack([recording.read(at, at + 120) for at in onset])
    mean = np.stack([epochs[shown == i].mean(axis=0) for i in range(40)])
    mean -= mean.mean(axis=0)

    def told(samples: slice, dims: slice) -> float:
        """Return the share of the variance that some dimensions explain, by regression on the pictures."""
        y = mean[:, samples].reshape(40, -1)
        x = looks[:, dims] - looks[:, dims].mean(axis=0)
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(1 - (rest**2).sum() / (y**2).sum())

    layout, meaning = slice(0, 6), slice(6, 12)
    early, late = slice(14, 24), slice(34, 80)  # 70 to 120 ms, 170 to 400 ms
    chance = 6 / 39
    assert told(early, layout) > told(early, meaning) + 0.1
    assert told(late, meaning) > told(late, layout) + 0.1
    assert told(early, meaning) < chance + 0.1


def test_an_eeg_subject_has_the_counts_of_its_scale(recordings: list[SimulatedRecording]) -> None:
    assert [r.name for r in recordings[:3]] == [
        "sub-01_ses-01_task-train_part-01",
        "sub-01_ses-01_task-train_part-02",
        "sub-01_ses-01_task-test",
    ]
    assert len(recordings) == 12
    train = [r.stimuli for r in recordings if r.simulation.name.find("train") > 0]
    ids = np.concatenate([t.id for t in train if t.id is not None])
    pictures, counts = np.unique(ids[ids != -1], return_counts=True)
    np.testing.assert_array_equal(pictures, np.arange(1, 41))
    # Twice in two sessions; full sequences take a few more.
    assert counts.min() >= 4
    assert np.median(counts) <= 6
    test = [r.stimuli for r in recordings if r.name.endswith("test")]
    assert all(set(t.split.tolist()) <= {"test", "target"} for t in test if t.split is not None)
    shown = np.concatenate([t.id for t in test if t.id is not None])
    assert [int((shown == i).sum()) >= 16 for i in (1, 2, 3)] == [True] * 3
    assert all(len(t) % 20 == 0 for t in train + test)


def test_odd_and_even_sessions_show_different_halves(recordings: list[SimulatedRecording]) -> None:
    def seen(session: int) -> set[int]:
        parts = [r.stimuli for r in recordings if f"ses-{session:02d}_task-train" in r.name]
        return {int(i) for t in parts if t.id is not None for i in t.id if i != -1}

    assert seen(1) == seen(3) == set(range(1, 21))
    assert seen(2) == seen(4) == set(range(21, 41))


def test_repeats_count_through_all_sessions(recordings: list[SimulatedRecording]) -> None:
    seen: dict[tuple[str, int], int] = {}
    for recording in recordings:
        table = recording.stimuli
        assert table.id is not None
        assert table.split is not None
        assert table.repeat is not None
        for split, number, repeat in zip(table.split, table.id, table.repeat, strict=True):
            seen[split, number] = seen.get((split, number), 0) + 1
            assert repeat == seen[split, number]


def test_rapid_onsets_are_200_ms_apart_within_a_sequence(recording: SimulatedRecording) -> None:
    apart_s = np.diff(recording.stimuli.onset) / recording.sfreq_hz
    within = np.arange(len(apart_s)) % 20 != 19
    np.testing.assert_allclose(apart_s[within], 0.2, atol=1e-9)
    np.testing.assert_allclose(apart_s[~within], 0.2 + 2.75 + 0.75, atol=1e-9)


def test_recordings_of_a_subject_have_noise_of_their_own(recordings: list[SimulatedRecording]) -> None:
    assert len({r.simulation.seed for r in recordings}) == len(recordings)
    again = simulate_things_eeg(SCALE, seed=3, pictures=PICTURES, forward=recordings[0].simulation.forward)
    np.testing.assert_array_equal(again[5].read(0, 100), recordings[5].read(0, 100))


def test_a_meg_subject_has_the_counts_of_its_scale() -> None:
    scale = MegScale(n_concepts=5, n_test_concepts=2, n_sessions=12, n_runs=2, n_catch=3)
    pictures = things_meg_pictures(scale, seed=0)
    # Any subject will do: what is shown does not hinge on the sensors.
    forward = eeg_subject(pictures.embeddings, pictures.n_layout, seed=1, sfreq_hz=100.0, names=FEW)
    recordings = simulate_things_meg(scale, pictures=pictures, forward=forward, timing=Spaced(1.5, 0.2))
    assert len(recordings) == 24
    ids = np.concatenate([r.stimuli.id for r in recordings if r.stimuli.id is not None])
    pictures_seen, counts = np.unique(ids, return_counts=True)
    assert dict(zip(pictures_seen.tolist(), counts.tolist(), strict=True)) == (
        dict.fromkeys(range(1, 63), 1) | {13: 12, 62: 12, -1: 36}
    )
    first = [r.stimuli for r in recordings if "ses-01" in r.name]
    concepts = np.concatenate(
        [t.concept[t.split == "train"] for t in first if t.concept is not None and t.split is not None]
    )
    assert sorted(concepts) == [f"concept{i:04d}" for i in range(1, 6)]
    apart_s = np.concatenate([np.diff(r.stimuli.onset) / r.sfreq_hz for r in recordings])
    assert apart_s.min() >= 1.3
    assert apart_s.max() <= 1.7


def test_a_saved_simulation_opens_as_it_was(
    recording: SimulatedRecording, whole: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "sub-01_ses-01.simulation.json"
    save_simulation(recording, path)
    back = open_recording(path)
    assert back.markers == recording.markers
    assert back.stimuli.columns == recording.stimuli.columns
    np.testing.assert_array_equal(back.read(0, back.n_samples), whole)
    found = dict(inspect(path).facts)
    assert found["rate"] == "200 Hz"
    assert found["artefacts"] == "yes"
    assert inspect(path).sound


def test_some_channels_can_be_left_out(
    recording: SimulatedRecording, whole: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "sub-01.simulation.json"
    save_simulation(recording, path)
    back = open_recording(path, exclude_channels=["O1"])
    assert [channel.name for channel in back.channels] == [name for name in FEW if name != "O1"]
    np.testing.assert_array_equal(back.read(10, 90), np.delete(whole[10:90], 1, axis=1))


def test_recordings_share_the_subject_beside_them_and_no_other(
    recordings: list[SimulatedRecording], tmp_path: Path
) -> None:
    for recording in recordings[:2]:
        save_simulation(recording, tmp_path / f"{recording.name}.simulation.json")
    assert len(list(tmp_path.iterdir())) == 4
    simulation = recordings[0].simulation
    other = eeg_subject(PICTURES.embeddings, 64, seed=9, sfreq_hz=200.0, names=FEW)
    first, *rest = simulation.forward.noise
    noisier = replace(first, topographies=2 * first.topographies)
    louder = replace(simulation.forward, noise=(noisier, *rest))
    for forward in (other, louder, replace(simulation.forward, seed=2)):
        stranger = SimulatedRecording(replace(simulation, forward=forward))
        with pytest.raises(RecordingError, match="another subject"):
            save_simulation(stranger, tmp_path / "sub-01_x.simulation.json")
    pictures = SimulatedRecording(replace(simulation, embeddings=simulation.embeddings[::-1].copy()))
    with pytest.raises(RecordingError, match="other pictures"):
        save_simulation(pictures, tmp_path / "sub-01_x.simulation.json")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema":1', '"schema":7', "schema 7"),
        ('"n_samples":', '"n_samples":1', "Simulate again|lasts up to"),
        ('"forward":"', '"forward":"../', "lie beside"),
        ('"shown":[', '"shown":[9999,', "Simulate again"),
        ('"seed":', '"sed":', "Simulate again"),
        ('"onset":[', '"onset":[-1,', "Simulate again"),
        ("{", "", "Simulate again"),
    ],
)
def test_a_damaged_file_is_refused_in_words(
    recording: SimulatedRecording, tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "sub-01.simulation.json"
    save_simulation(recording, path)
    text = path.read_text()
    assert old in text
    damaged = text.replace(old, new, 1)
    if "n_samples" in old:
        damaged = damaged.replace('"n_samples":1', '"n_samples":99999', 1)
    path.write_text(damaged)
    with pytest.raises(RecordingError, match=said):
        open_recording(path)


def test_a_subject_that_is_missing_or_asked_too_much_is_refused(
    recording: SimulatedRecording, tmp_path: Path
) -> None:
    path = tmp_path / "sub-01.simulation.json"
    save_simulation(recording, path)
    with pytest.raises(RecordingError, match="marker column"):
        open_recording(path, marker_column="STI")
    shutil.move(tmp_path / "sub-01.forward.safetensors", tmp_path / "gone")
    with pytest.raises(RecordingError, match=r"forward\.safetensors"):
        open_recording(path)
    with pytest.raises(RecordingError, match="must end in"):
        save_simulation(recording, tmp_path / "x.json")


def test_playing_needs_neither_mne_nor_scipy(recording: SimulatedRecording, tmp_path: Path) -> None:
    path = tmp_path / "sub-01.simulation.json"
    save_simulation(recording, path)
    code = (
        "import sys; from pathlib import Path\n"
        "from decode_stream.replay_data.simulation.simulation_files import read\n"
        "from decode_stream.replay_data.layout import ReadOptions\n"
        "read(Path(sys.argv[1]), ReadOptions()).read(0, 1000)\n"
        "heavy = {'mne', 'scipy', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_pictures_that_do_not_fit_the_subject_are_refused(subject: ForwardModel) -> None:
    empty, none = np.empty(0, np.int64), StimulusTable()
    with pytest.raises(ValueError, match="dimensions"):
        Simulation(subject, np.zeros((3, 5), np.float32), empty, none, 100, 1)
    with pytest.raises(ValueError, match="rise"):
        Simulation(subject, PICTURES.embeddings, np.zeros(2, int), StimulusTable(np.array([5, 2])), 100, 1)
    with pytest.raises(ValueError, match="rise"):
        Simulation(subject, PICTURES.embeddings, np.zeros(1, int), StimulusTable(np.array([100])), 100, 1)
    with pytest.raises(ValueError, match="hours"):
        Simulation(subject, PICTURES.embeddings, empty, none, 10**12, 1)


def test_pictures_may_bear_names_of_their_own() -> None:
    names = [f"thing{i}" for i in range(7)]
    table = things_eeg_pictures(SCALE, seed=3, concepts=names).table
    assert table.image is not None
    assert table.image[0] == "training_images/00001_thing0/thing0_01s.jpg"
    assert table.image[40] == "test_images/00001_thing4/thing4_01s.jpg"
    with pytest.raises(ValueError, match="7 concepts need"):
        things_eeg_pictures(SCALE, seed=3, concepts=names[:6])


def test_a_sequence_may_be_of_any_timing() -> None:
    pictures = things_eeg_pictures(SCALE, seed=3)
    forward = eeg_subject(pictures.embeddings, 64, seed=1, sfreq_hz=100.0, names=FEW)
    timing = Timing(soa_s=0.5, n_sequence=5, before_s=0.0, behind_s=0.0, target_share=0.0)
    first = simulate_things_eeg(SCALE, pictures=pictures, forward=forward, timing=timing)[0]
    np.testing.assert_array_equal(np.diff(first.stimuli.onset), 50)
    assert -1 not in set(first.stimuli.id.tolist() if first.stimuli.id is not None else [])
