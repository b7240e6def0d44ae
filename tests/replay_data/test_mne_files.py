import shutil
import struct
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.formats import mne_files
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError

SFREQ_HZ = 250.0


def read_mne(path: Path, **options: str) -> mne_files.MneRecording:
    return mne_files.read(path, ReadOptions(**options))


def raw_array(
    n: int = 5000, stim: dict[int, int] | None = None, first_samp: int = 0, types: str = "eeg"
) -> mne.io.RawArray:
    info = mne.create_info(["O1", "Oz", "STI 014"], SFREQ_HZ, [types, types, "stim"])
    data = 1e-5 * np.random.default_rng(0).standard_normal((3, n))
    data[2] = 0
    for sample, code in (stim or {}).items():
        data[2, sample] = code
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


def saved(raw: mne.io.BaseRaw, folder: Path, **options: object) -> Path:
    path = folder / "x_raw.fif"
    raw.save(path, overwrite=True, fmt="double", verbose="error", **options)
    return path


def test_blocks_equal_what_mne_reads(tmp_path: Path) -> None:
    raw = raw_array()
    recording = read_mne(saved(raw, tmp_path))
    assert (recording.name, recording.sfreq_hz, recording.n_samples) == ("x_raw.fif", 250.0, 5000)
    assert [(c.name, c.type, c.unit) for c in recording.channels] == [
        *[("O1", "eeg", "V"), ("Oz", "eeg", "V"), ("STI 014", "stim", "")]
    ]
    data = raw.get_data().T
    np.testing.assert_array_equal(recording.read(0, 5000), data)
    for start in (*range(0, 5000, 37), 4999, 0, 2500):
        np.testing.assert_array_equal(recording.read(start, min(start + 37, 5000)), data[start : start + 37])


def test_stim_codes_become_markers_where_they_begin(tmp_path: Path) -> None:
    stim = (
        dict.fromkeys(range(100, 110), 5)
        | dict.fromkeys(range(110, 120), 6)
        | {500: 5, 501: 5, 502: 0, 503: 5}
    )
    path = saved(raw_array(stim=stim | {4999: 73_000}, first_samp=1234), tmp_path)
    assert read_mne(path).markers == ((100, "5"), (110, "6"), (500, "5"), (503, "5"), (4999, "73000"))


def test_the_stimulus_channel_is_chosen_and_can_be_named(tmp_path: Path) -> None:
    info = mne.create_info(["Oz", "Response", "STI101"], SFREQ_HZ, ["eeg", "stim", "stim"])
    data = np.zeros((3, 1000))
    data[1, 300], data[2, 200] = 9, 4
    path = saved(mne.io.RawArray(data, info, verbose="error"), tmp_path)
    recording = read_mne(path)
    assert recording.markers == ((200, "4"),)
    assert "Markers are the codes of stim channel 'STI101'" in recording.notes[0]
    assert read_mne(path, marker_column="Response").markers == ((300, "9"),)
    with pytest.raises(RecordingError, match=r"no stim channel 'STI102'\. Did you mean 'STI101'"):
        read_mne(path, marker_column="STI102")


@pytest.mark.parametrize("dated", [False, True])
def test_annotations_lie_where_mne_puts_their_events(tmp_path: Path, dated: bool) -> None:
    raw = raw_array(first_samp=1234, stim={50: 1})
    if dated:
        raw.set_meas_date(1_000_000_000)
    onsets_s = np.sort(np.random.default_rng(1).uniform(0, 19.9, 200))
    raw.set_annotations(mne.Annotations(onsets_s, 0.1, ["face", "house"] * 100))
    path = saved(raw, tmp_path)
    again = mne.io.read_raw_fif(path, verbose="error")
    events, codes = mne.events_from_annotations(again, verbose="error")
    names = {code: name for name, code in codes.items()}
    expected = [(int(sample) - again.first_samp, names[code]) for sample, _, code in events]
    assert list(read_mne(path).markers) == expected
    assert [sample for sample, _ in expected] == np.round(onsets_s * SFREQ_HZ).astype(int).tolist()


def test_what_is_annotated_as_bad_is_no_marker(tmp_path: Path) -> None:
    raw = raw_array()
    raw.set_annotations(mne.Annotations([1, 2, 3, 4], [0.5] * 4, ["BAD_blink", "edge", "bad", "face"]))
    recording = read_mne(saved(raw, tmp_path))
    assert recording.markers == ((1000, "face"),)
    assert "Stretches annotated as bad: 2; they are read as they are." in recording.notes


def test_the_seam_of_joined_recordings_is_a_gap(tmp_path: Path) -> None:
    raw = raw_array()
    joined = mne.concatenate_raws([raw.copy().crop(0, 3), raw.copy().crop(5, 8)], verbose="error")
    (gap,) = read_mne(saved(joined, tmp_path)).gaps
    assert (gap.start, gap.n_lost, gap.kind) == (751, 0, "reset")


def test_a_pause_is_a_loss_and_its_zeros_are_left_out(tmp_path: Path) -> None:
    raw = raw_array()
    raw.set_annotations(
        mne.Annotations([4, 8, 6, 10], [2, 1, 0, 0], ["BAD_ACQ_SKIP", "BAD_ACQ_SKIP", "first", "second"])
    )
    recording = read_mne(saved(raw, tmp_path))
    assert recording.n_samples == 5000 - 750
    assert [(gap.start, gap.n_lost, gap.kind, gap.time_s) for gap in recording.gaps] == [
        *[(1000, 500, "loss", 6.0), (1500, 250, "loss", 9.0)]
    ]
    assert recording.markers == ((1000, "first"), (1750, "second"))
    data = raw.get_data().T
    held = np.concatenate([data[:1000], data[1500:2000], data[2250:]])
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), held)
    np.testing.assert_array_equal(recording.read(990, 1510), held[990:1510])


def test_positions_are_in_head_coordinates(tmp_path: Path) -> None:
    info = mne.create_info(["M1", "M2"], SFREQ_HZ, "mag")
    info["chs"][0]["loc"][:3] = 0.1, 0.0, 0.0
    turn = np.array([[0.0, -1, 0, 0.01], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", turn)
    raw = mne.io.RawArray(np.zeros((2, 500)), info, verbose="error")
    first, second = read_mne(saved(raw, tmp_path), modality="meg").channels
    assert (first.type, first.unit) == ("mag", "T")
    assert first.position_m == pytest.approx((0.01, 0.1, 0.0), abs=1e-7)
    assert second.position_m is None


def test_a_cut_off_file_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    whole = saved(raw_array(50_000), tmp_path).read_bytes()
    path = tmp_path / "cut_raw.fif"
    for share in (0.01, 0.3, 0.7, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(RecordingError, match="cut off"):
            read_mne(path)
    path.write_bytes(whole[:-7])
    with pytest.raises(RecordingError, match="cut off or damaged"):
        read_mne(path)


@pytest.mark.parametrize("ending", [".fif", ".vhdr", ".edf", ".bdf", ".set", ".con"])
def test_what_mne_cannot_read_is_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x_raw{ending}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(RecordingError, match="cannot be read by MNE-Python"):
        read_mne(path)


def test_brainvision_markers_keep_their_text(tmp_path: Path) -> None:
    data = np.arange(2000, dtype="<i2").reshape(1000, 2)
    (tmp_path / "x.eeg").write_bytes(data.tobytes())
    (tmp_path / "x.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nDataFile=x.eeg\n\n"
        "[Marker Infos]\n"
        "Mk1=New Segment,,1,1,0,20200101000000000000\nMk2=Stimulus,S  1,101,1,0\nMk3=New Segment,,501,1,0\n"
        "Mk4=Stimulus,S255,1000,1,0\n"
    )
    header = tmp_path / "x.vhdr"
    header.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nDataFile=x.eeg\n"
        "MarkerFile=x.vmrk\n"
        "DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=4000\n\n"
        "[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\nCh1=O1,,0.1,\u00b5V\nCh2=O2,,0.1,\u00b5V\n",
        encoding="utf-8",
    )
    recording = read_mne(header)
    assert recording.markers == ((100, "Stimulus/S  1"), (999, "Stimulus/S255"))
    assert [(gap.start, gap.kind) for gap in recording.gaps] == [(500, "reset")]
    np.testing.assert_allclose(recording.read(0, 1000), data * 1e-7, rtol=1e-12)


def edf(n_records: int = 10, n_per_record: int = 250) -> bytes:
    """Return an EDF file of one channel, with as many records as its header says."""

    def cells(*texts: tuple[object, int]) -> bytes:
        return b"".join(str(text).ljust(width).encode() for text, width in texts)

    head = cells(
        *[
            ("0", 8),
            ("X", 80),
            ("X", 80),
            ("01.01.20", 8),
            ("00.00.00", 8),
            (512, 8),
            ("", 44),
            (n_records, 8),
        ],
        *[
            (1, 8),
            (1, 4),
            ("Oz", 16),
            ("", 80),
            ("uV", 8),
            (-3276.8, 8),
            (3276.7, 8),
            (-32768, 8),
            (32767, 8),
        ],
        *[("", 80), (n_per_record, 8), ("", 32)],
    )
    n = n_records * n_per_record
    return head + struct.pack(f"<{n}h", *(np.arange(n) % 1000))


def test_an_edf_file_with_records_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.edf"
    path.write_bytes(edf())
    recording = read_mne(path)
    assert (recording.n_samples, recording.sfreq_hz, recording.channels[0].unit) == (2500, 250.0, "V")
    np.testing.assert_allclose(recording.read(0, 500)[:, 0], np.arange(500) * 1e-7, atol=1e-12)
    path.write_bytes(edf()[: -4 * 500])
    with pytest.raises(RecordingError, match="cut off or damaged"):
        read_mne(path)


def test_pieces_are_told_by_the_system_clock(tmp_path: Path) -> None:
    info = mne.create_info(["MLC11", "SCLK01-177"], 1200.0, ["mag", "misc"])
    clock_s = 100 + np.arange(2402) / 1200 + 98 * (np.arange(2402) >= 1201)
    data = np.stack([1e-13 * np.random.default_rng(0).standard_normal(2402), clock_s])
    recording = read_mne(saved(mne.io.RawArray(data, info, verbose="error"), tmp_path))
    assert [(gap.start, gap.n_lost, gap.kind) for gap in recording.gaps] == [(1201, 0, "reset")]
    assert "discontinuous at sample 1201: 98.001 s went by" in recording.notes[0]


def test_the_real_ctf_recording_has_two_pieces(real_data: Path) -> None:
    path = real_data / "meg_ctf" / "testdata_ctf_short_discontinuous.ds"
    recording = read_mne(path)
    assert (recording.n_samples, recording.sfreq_hz, len(recording.channels)) == (2402, 1200.0, 356)
    assert [(gap.start, gap.n_lost, gap.kind) for gap in recording.gaps] == [(1201, 0, "reset")]
    assert "Gradient compensation is left as recorded, grade 0." in recording.notes
    data = mne.io.read_raw_ctf(path, verbose="error").get_data().T
    for start in range(0, 2400, 30):
        np.testing.assert_array_equal(recording.read(start, start + 30), data[start : start + 30])

    meg = read_mne(path, modality="meg")
    kinds = [channel.type for channel in meg.channels]
    assert (kinds.count("mag"), kinds.count("ref_meg"), len(kinds)) == (273, 28, 301)
    assert {channel.unit for channel in meg.channels} == {"T"}
    radius_m = np.linalg.norm(
        [c.position_m for c in meg.channels if c.type == "mag" and c.position_m], axis=1
    )
    assert len(radius_m) == 273
    assert 0.05 < radius_m.min() < radius_m.max() < 0.25


def test_a_real_ctf_recording_that_was_cut_off_is_refused(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "meg_ctf" / "testdata_ctf_short_discontinuous.ds"
    copy = tmp_path / "x.ds"
    copy.mkdir()
    for part in source.iterdir():
        target = copy / part.name.replace("testdata_ctf_short_discontinuous", "x")
        shutil.copyfile(part, target)
    data = copy / "x.meg4"
    data.write_bytes(data.read_bytes()[:-1000])
    with pytest.raises(RecordingError, match="not an even multiple of the trial size"):
        read_mne(copy)


@pytest.mark.parametrize("ending", ["vmrk", "eeg"])
def test_a_part_of_brainvision_that_is_missing_is_named(tmp_path: Path, ending: str) -> None:
    header = tmp_path / "run.vhdr"
    header.write_text("[Common Infos]\nDataFile=run.eeg\nMarkerFile=$b.vmrk\n")
    for other in {"vmrk", "eeg"} - {ending}:
        (tmp_path / f"run.{other}").write_bytes(b"x")
    with pytest.raises(RecordingError, match=rf"names .*run\.{ending}, which is not there"):
        mne_files.read(header, ReadOptions())
