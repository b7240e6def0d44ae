"""When a scan's files come, and what goes wrong with them on purpose."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.scanner.arrivals import ScanFaults
from decode_stream.replay_data.scanner.scanner import Scanner, ScanSettings
from decode_stream.stream.errors import RecordingError, UsageError

from .scans import BEGAN, TR_S, FakeClock, integers, played, write_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "run.nii.gz", integers((4, 3, 2, 8)))


class Arrived:
    """Notes when each file is there, and each size that it has had."""

    def __init__(self, out: Path) -> None:
        self.sizes: dict[str, list[int]] = {}
        self.times_s: dict[str, float] = {}
        self.clock = FakeClock(self._look)
        self._out = out
        self._last_s = 0.0

    def _look(self, time_s: float) -> None:
        # What the clock is about to leave behind was written at the time where it stands.
        for path in sorted(self._out.iterdir()) if self._out.exists() else ():
            sizes = self.sizes.setdefault(path.name, [])
            if not sizes:
                self.times_s[path.name] = self.clock.time_s
            if not sizes or sizes[-1] != path.stat().st_size:
                sizes.append(path.stat().st_size)

    def play(self, recording: Path, settings: ScanSettings) -> None:
        played(recording, self._out, settings, self.clock)
        self._look(float("inf"))


def numbers(out: Path) -> list[int]:
    return sorted(int(file.name.split("_")[-1].split(".")[0]) for file in out.iterdir())


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_each_volume_comes_when_it_has_been_measured(tmp_path: Path, recording: Path, speed: float) -> None:
    arrived = Arrived(tmp_path / "out")
    arrived.play(recording, ScanSettings("nifti", TR_S, speed=speed))
    times_s = [arrived.times_s[f"013_volume_{number:05d}.nii"] for number in range(1, 9)]
    np.testing.assert_allclose(times_s, np.arange(1, 9) * TR_S / speed)


def test_a_slice_a_file_comes_with_its_volume(tmp_path: Path, recording: Path) -> None:
    arrived = Arrived(tmp_path / "out")
    arrived.play(recording, ScanSettings("ge", TR_S))
    assert arrived.times_s["i12345.MRDCM.1"] == arrived.times_s["i12346.MRDCM.2"] == TR_S
    assert arrived.times_s["i12347.MRDCM.3"] == 2 * TR_S


def test_lost_volumes_leave_their_numbers_free(tmp_path: Path, recording: Path) -> None:
    faults = ScanFaults(drop_volumes=(3, 8))
    done = played(recording, tmp_path / "out", ScanSettings("siemens", TR_S, faults=faults))
    assert numbers(tmp_path / "out") == [1, 2, 4, 5, 6, 7]
    assert (done.n_volumes, done.n_lost) == (6, 2)
    after = pydicom.dcmread(tmp_path / "out" / "001_000013_000004.dcm")
    assert (after.InstanceNumber, after.AcquisitionTime) == (4, "000001.750000")


def test_a_fraction_is_lost_by_the_seed_and_never_the_first_or_last(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "long.nii", integers((2, 2, 1, 200)))
    held = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        settings = ScanSettings("nifti", TR_S, faults=ScanFaults(drop=0.5, seed=seed))
        done = played(path, tmp_path / name, settings)
        held.append(numbers(tmp_path / name))
        assert done.n_lost == 200 - len(held[-1])
        assert {1, 200} <= set(held[-1])
    assert held[0] == held[1] != held[2]
    assert 70 < len(held[0]) < 130


def test_a_delay_moves_all_and_memory_holds_what_is_on_its_way(tmp_path: Path, recording: Path) -> None:
    arrived = Arrived(tmp_path / "out")
    arrived.play(recording, ScanSettings("nifti", TR_S, faults=ScanFaults(delay_ms=4000)))
    times_s = [arrived.times_s[f"013_volume_{number:05d}.nii"] for number in range(1, 9)]
    np.testing.assert_allclose(times_s, np.arange(1, 9) * TR_S + 4.0)
    # Volumes are read when they are measured, although nothing is written before 5.5 s.
    assert arrived.clock.waited[:3] == [TR_S, 2 * TR_S, 3 * TR_S]


def test_shuffled_files_stay_within_the_bound_and_change_their_order(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "long.nii", integers((2, 2, 1, 60)))
    orders = []
    for name in ("one", "again"):
        arrived = Arrived(tmp_path / name)
        arrived.play(path, ScanSettings("nifti", TR_S, faults=ScanFaults(shuffle_ms=4000, seed=7)))
        times_s = np.array([arrived.times_s[f"013_volume_{number:05d}.nii"] for number in range(1, 61)])
        late_s = times_s - np.arange(1, 61) * TR_S
        assert late_s.min() >= -1e-9
        assert 3.0 < late_s.max() <= 4.0
        orders.append(np.argsort(times_s).tolist())
    assert orders[0] == orders[1] != list(range(60))


def test_partial_files_grow_under_their_name(tmp_path: Path, recording: Path) -> None:
    arrived = Arrived(tmp_path / "out")
    arrived.play(recording, ScanSettings("siemens", TR_S, faults=ScanFaults(partial=True)))
    whole = played(recording, tmp_path / "whole", ScanSettings("siemens", TR_S))
    assert whole.n_files == 8
    for file in (tmp_path / "whole").iterdir():
        sizes = arrived.sizes[file.name]
        assert 2 < len(sizes) <= 4
        assert sizes == sorted(sizes)
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_renamed_files_are_whole_under_their_name(tmp_path: Path, recording: Path) -> None:
    arrived = Arrived(tmp_path / "out")
    arrived.play(recording, ScanSettings("ge", TR_S, rename=True, faults=ScanFaults(partial=True)))
    growing = [name for name in arrived.sizes if name.endswith(".part")]
    named = [name for name in arrived.sizes if not name.endswith(".part")]
    assert len(named) == 16
    assert all(name.startswith(".") for name in growing)
    assert any(len(arrived.sizes[name]) > 1 for name in growing)
    assert all(len(arrived.sizes[name]) == 1 for name in named)
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.endswith(".part")]


@pytest.mark.parametrize("vendor", ["philips", "philips-enhanced", "nifti"])
def test_a_truncated_file_stays_cut_off(tmp_path: Path, recording: Path, vendor: str) -> None:
    played(recording, tmp_path / "whole", ScanSettings(vendor, TR_S))  # type: ignore[arg-type]
    settings = ScanSettings(vendor, TR_S, faults=ScanFaults(truncate_volumes=(2,)))  # type: ignore[arg-type]
    played(recording, tmp_path / "cut", settings)
    shorter = [
        file.name
        for file in sorted((tmp_path / "whole").iterdir())
        if (tmp_path / "cut" / file.name).stat().st_size == int(0.6 * file.stat().st_size)
    ]
    assert shorter == [{"philips": "IM_0003", "nifti": "013_volume_00002.nii"}.get(vendor, "IM_0002")]


@pytest.mark.parametrize("vendor", ["siemens", "siemens-xa", "ge", "philips", "philips-enhanced"])
def test_a_second_series_has_an_identity_of_its_own(tmp_path: Path, recording: Path, vendor: str) -> None:
    settings = ScanSettings(vendor, TR_S, faults=ScanFaults(second_series=True))  # type: ignore[arg-type]
    done = played(recording, tmp_path / "out", settings)
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in (tmp_path / "out").iterdir()]
    assert len(images) == 2 * done.n_files
    by_series = {int(image.SeriesNumber): image.SeriesInstanceUID for image in images}
    assert sorted(by_series) == [13, 14]
    assert by_series[13] != by_series[14]
    assert len({image.SOPInstanceUID for image in images}) == len(images)


def test_a_later_first_volume_is_the_first_of_the_scan(tmp_path: Path, recording: Path) -> None:
    played(recording, tmp_path / "all", ScanSettings("nifti", TR_S))
    done = played(recording, tmp_path / "late", ScanSettings("nifti", TR_S, start_volume=4))
    assert done.n_volumes == 5
    first = (tmp_path / "late" / "013_volume_00001.nii").read_bytes()
    assert first == (tmp_path / "all" / "013_volume_00004.nii").read_bytes()


class SlowClock(FakeClock):
    """A clock that has gone on by half a second whenever it is asked."""

    def now_s(self) -> float:
        self.time_s += 0.5
        return self.time_s


def test_what_comes_late_is_counted(tmp_path: Path, recording: Path) -> None:
    done = played(recording, tmp_path / "out", ScanSettings("nifti", TR_S), SlowClock())
    assert done.n_late == 8
    assert done.latest_s >= 0.5
    assert played(recording, tmp_path / "kept", ScanSettings("nifti", TR_S)).n_late == 0


def test_what_happens_during_the_scan_comes_between_the_files(tmp_path: Path, recording: Path) -> None:
    arrived = Arrived(tmp_path / "out")
    scanner = Scanner(open_nifti(recording), ScanSettings("nifti", TR_S), tmp_path / "out", arrived.clock)
    held: list[tuple[float, int]] = []
    for at_s in (0.0, 2.0, 20.0):
        scanner.at(at_s, lambda: held.append((arrived.clock.time_s, len(list((tmp_path / "out").iterdir())))))
    scanner.run(0.0, BEGAN, threading.Event())
    assert held == [(0.0, 0), (2.0, 1), (20.0, 8)]


def test_a_scan_that_is_stopped_ends_at_once(tmp_path: Path, recording: Path) -> None:
    stop = threading.Event()
    clock = FakeClock(lambda time_s: stop.set() if time_s > 4.0 else None)
    scanner = Scanner(open_nifti(recording), ScanSettings("nifti", TR_S), tmp_path / "out", clock)
    assert scanner.run(0.0, BEGAN, stop).n_volumes == 2


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, recording: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(RecordingError, match=r"not empty: it holds mine.txt.*nothing in it is replaced"):
        played(recording, tmp_path / "out", ScanSettings("nifti", TR_S))
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, recording: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(RecordingError, match=r"no folder that can be written to.*Give another"):
        played(recording, tmp_path / "out", ScanSettings("nifti", TR_S))


def settings_of(asked: dict[str, Any]) -> ScanSettings:
    faults = ScanFaults(**asked.pop("faults", {}))
    return ScanSettings("nifti", faults=faults, **asked)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tr_s": 0.0}, "--tr-s is 0;"),
        ({"tr_s": float("nan")}, "--tr-s is nan;"),
        ({"speed": 0.0}, "--speed is 0;"),
        ({"start_volume": 0}, "volumes count from 1"),
        ({"start_volume": 9}, "has 8 volumes"),
        ({"faults": {"drop": 1.0}}, "--drop is 1; it is a fraction"),
        ({"faults": {"shuffle_ms": -1.0}}, "--shuffle-ms is -1"),
        ({"faults": {"delay_ms": float("nan")}}, "--delay-ms is nan"),
        ({"faults": {"drop_volumes": (9,)}}, "--drop-volumes names volume 9; the scan has volumes 1 to 8"),
        ({"faults": {"truncate_volumes": (0,)}}, "--truncate-volumes names volume 0"),
        ({"faults": {"seed": -1}}, "--seed is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, recording: Path, settings: dict[str, object], message: str
) -> None:
    asked = {"tr_s": TR_S} | settings
    with pytest.raises(UsageError, match=message):
        played(recording, tmp_path / "out", settings_of(asked))
