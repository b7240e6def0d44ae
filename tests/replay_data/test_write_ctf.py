from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats import mne_files
from decode_stream.replay_data.formats.ctf_samples import check_whole, ctf_shape, sample_files
from decode_stream.replay_data.formats.write_ctf import MEG_TESLA, write_ctf
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import Channel

SFREQ_HZ = 1200.0


def sensors(n: int = 6) -> tuple[Channel, ...]:
    angles = np.linspace(0, 1.8 * np.pi, n)
    places = np.stack([0.09 * np.cos(angles), 0.09 * np.sin(angles), np.linspace(0.02, 0.1, n)], axis=1)
    return tuple(
        Channel(f"MLC{i + 11}-1609", "mag", "T", tuple(map(float, place))) for i, place in enumerate(places)
    )


def recording(n_samples: int = 3000, unit: str = "T") -> ArrayRecording:
    rng = np.random.default_rng(0)
    meg = tuple(Channel(c.name, c.type, unit, c.position_m) for c in sensors())
    others = (
        Channel("BG1-1609", "ref_meg", "T", (0.02, -0.02, 0.25)),
        Channel("G11-1609", "ref_meg", "T", (0.03, -0.03, 0.26)),
        Channel("UPPT002", "stim"),
        Channel("UPPT001", "misc"),
        Channel("UADC016-2104", "misc", "V"),
    )
    data = np.zeros((n_samples, len(meg) + len(others)))
    data[:, : len(meg)] = (1e-12 if unit == "T" else 1e3) * rng.standard_normal((n_samples, len(meg)))
    data[:, len(meg) : len(meg) + 2] = 1e-11 * rng.standard_normal((n_samples, 2))
    data[100:150, -3] = 7
    data[200:250, -2] = 64
    data[210:, -1] = 2.5
    return ArrayRecording(data, meg + others, SFREQ_HZ)


def test_mne_reads_back_what_was_written(tmp_path: Path) -> None:
    source, path = recording(), tmp_path / "sub" / "x_meg.ds"
    write_ctf(source, path, subject="P1")
    raw = mne.io.read_raw_ctf(path, verbose="error")
    assert raw.ch_names == [channel.name for channel in source.channels]
    assert raw.get_channel_types() == [*["mag"] * 6, "ref_meg", "ref_meg", "stim", "misc", "misc"]
    assert (raw.n_times, raw.info["sfreq"], raw.compensation_grade) == (3000, SFREQ_HZ, 0)
    assert raw.info["subject_info"]["his_id"] == "P1"
    steps = [*[MEG_TESLA] * 6, 1 / (1.18e8 * 2**20), 1 / (6.54e9 * 2**20), 1e-12, 1e-12, 10 / 2**30]
    errors = np.abs(raw.get_data().T - source.data).max(axis=0)
    assert (errors <= 0.501 * np.array(steps)).all()

    again = mne_files.read(path, ReadOptions())
    for channel, read in zip(source.channels[:8], again.channels, strict=False):
        assert (read.name, read.type, read.unit) == (channel.name, channel.type, "T")
        assert read.position_m == pytest.approx(channel.position_m, abs=1e-9)
    assert again.markers == ((100, "7"),)
    np.testing.assert_array_equal(again.read(0, 3000), raw.get_data().T)


def test_sensors_face_outwards_or_as_they_are_told(tmp_path: Path) -> None:
    source, path = recording(50), tmp_path / "x.ds"
    first = source.channels[0].name
    write_ctf(source, path, orientations={first: (0.0, 0.0, 2.0)})
    info = mne.io.read_raw_ctf(path, verbose="error").info
    to_head = info["dev_head_t"]["trans"][:3, :3]
    facing = {ch["ch_name"]: to_head @ ch["loc"][9:12] for ch in info["chs"][:8]}
    np.testing.assert_allclose(facing[first], [0, 0, 1], atol=1e-9)
    for channel in source.channels[1:8]:
        place = np.array(channel.position_m)
        np.testing.assert_allclose(facing[channel.name], place / np.linalg.norm(place), atol=1e-9)


def test_a_dipole_gives_axial_gradiometers_a_field(tmp_path: Path) -> None:
    path = tmp_path / "x.ds"
    write_ctf(recording(50), path)
    info = mne.pick_info(mne.io.read_raw_ctf(path, verbose="error").info, range(6))
    sphere = mne.make_sphere_model((0, 0, 0.04), None, verbose="error")
    dipole = mne.Dipole([0], [[0.03, 0, 0.06]], [1e-8], [[0, 1, 0]], [1])
    forward, _ = mne.make_forward_dipole(dipole, sphere, info, verbose="error")
    assert forward["sol"]["data"].shape == (6, 1)
    assert np.abs(forward["sol"]["data"]).max() > 1e-7  # tesla for an ampere metre


def test_units_are_converted_and_others_refused(tmp_path: Path) -> None:
    write_ctf(recording(500, "fT"), tmp_path / "x.ds")
    read = mne_files.read(tmp_path / "x.ds", ReadOptions()).read(0, 500)[:, :6]
    np.testing.assert_allclose(read, recording(500, "fT").data[:, :6] * 1e-15, atol=MEG_TESLA)
    with pytest.raises(ValueError, match="is in no unit; CTF holds T there"):
        write_ctf(recording(500, ""), tmp_path / "y.ds")
    assert not (tmp_path / "y.ds").exists()


def test_the_grade_is_told(tmp_path: Path) -> None:
    write_ctf(recording(500), tmp_path / "x.ds", grade=3)
    raw = mne.io.read_raw_ctf(tmp_path / "x.ds", verbose="error")
    assert raw.compensation_grade == 3
    events = np.array([[200, 0, 64]])
    epochs = mne.Epochs(raw, events, tmin=-0.1, tmax=0.2, picks="mag", baseline=None, verbose="error")
    assert epochs.get_data().shape == (1, 6, 361)


def test_a_long_recording_goes_on_in_further_files(tmp_path: Path) -> None:
    source, path = recording(40_000), tmp_path / "x.ds"
    write_ctf(source, path, max_bytes=2 * 4 * 12 * 12_000 + 8)
    assert [file.name for file in sample_files(path)] == ["x.meg4", "x.1_meg4"]
    assert ctf_shape(path).n_trials == 4
    raw = mne.io.read_raw_ctf(path, verbose="error")
    assert raw.ch_names[-1] == "SCLK01-177"
    assert raw.n_times == 40_000
    np.testing.assert_allclose(raw.get_data()[:6].T, source.data[:, :6], atol=MEG_TESLA)
    again = mne_files.read(path, ReadOptions())
    assert again.n_samples == 40_000
    assert not again.gaps
    for start, stop in ((0, 40_000), (23_990, 24_010), (11_999, 12_001), (39_999, 40_000)):
        np.testing.assert_array_equal(again.read(start, stop), raw[:, start:stop][0].T)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = recording(100)
    for channel, said in (
        (Channel("MLC11-1609", "mag", "T"), "has no position"),
        (Channel("Oz", "eeg", "V"), "of type 'eeg'"),
        (Channel("a name of more than fifteen", "stim"), "1 to 15 bytes"),
    ):
        with pytest.raises(ValueError, match=said):
            write_ctf(ArrayRecording(source.data[:, :1], (channel,), SFREQ_HZ), tmp_path / "x.ds")
    for value in (1e-6, np.nan):
        data = source.data.copy()
        data[50, 1] = value
        with pytest.raises(RecordingError, match="MLC12-1609: a value between samples 0 and 100"):
            write_ctf(ArrayRecording(data, source.channels, SFREQ_HZ), tmp_path / "x.ds")
    assert list(tmp_path.iterdir()) == []
    write_ctf(source, tmp_path / "x.ds")
    with pytest.raises(RecordingError, match="exists already"):
        write_ctf(source, tmp_path / "x.ds")


def test_a_folder_that_is_not_whole_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.ds"
    write_ctf(recording(1000), path)
    assert check_whole(path).n_times == 1000
    samples, header = path / "x.meg4", path / "x.res4"
    whole = samples.read_bytes()
    samples.write_bytes(whole[:20_000])
    with pytest.raises(RecordingError, match=r"cut off: its samples take 0.0 MB.*1 x 1000 samples of 11"):
        check_whole(path)
    samples.unlink()
    with pytest.raises(RecordingError, match="x.meg4 is missing: the download"):
        check_whole(path)
    header.write_bytes(header.read_bytes()[:1000])
    with pytest.raises(RecordingError, match="no whole CTF header"):
        check_whole(path)
    header.unlink()
    with pytest.raises(RecordingError, match="x.res4 cannot be read"):
        check_whole(path)


def test_the_real_folder_is_whole(real_data: Path) -> None:
    shape = check_whole(real_data / "meg_ctf" / "testdata_ctf_short_discontinuous.ds")
    assert (shape.n_times, shape.n_channels, shape.n_trials, shape.sfreq_hz) == (1201, 356, 2, 1200.0)


def test_a_recording_without_reference_channels_is_written(tmp_path: Path) -> None:
    source = recording(500)
    write_ctf(ArrayRecording(source.data[:, :6], source.channels[:6], SFREQ_HZ), tmp_path / "x.ds")
    raw = mne.io.read_raw_ctf(tmp_path / "x.ds", verbose="error")
    np.testing.assert_allclose(raw.get_data().T, source.data[:, :6], atol=MEG_TESLA)
