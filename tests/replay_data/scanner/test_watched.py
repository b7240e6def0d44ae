"""A scan that is watched: what the scanner writes is what the watched folder hands on."""

import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.scanner.arrivals import ScanFaults
from decode_stream.replay_data.scanner.scanner import Scanner, ScanSettings
from decode_stream.replay_data.scanner.vendors import VENDORS, Vendor
from decode_stream.stream.scanner.axes import turn_onto
from decode_stream.stream.scanner.folder_watch import FolderWatch
from decode_stream.stream.scanner.volume import LostVolumes, Volume

from .scans import BEGAN, TR_S, Array, integers, oblique_mm, write_recording

STEP_S = 0.1


class WatchedClock:
    """A clock in steps, at each of which somebody looks into the folder."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.watch: FolderWatch | None = None
        self.got: list[Volume | LostVolumes] = []

    def now_s(self) -> float:
        return self.time_s

    def wait_until(self, time_s: float, stop: threading.Event) -> bool:
        assert self.watch is not None
        while self.time_s < time_s:
            self.time_s = min(time_s, self.time_s + STEP_S)
            self.got += self.watch.pull(0.0)
        return True


def watched(recording: Path, out: Path, vendor: Vendor, faults: ScanFaults) -> list[Volume | LostVolumes]:
    clock = WatchedClock()
    scanner = Scanner(open_nifti(recording), ScanSettings(vendor, TR_S, faults=faults), out, clock)
    clock.watch = FolderWatch(out, clock=clock.now_s, tell=lambda kind, text: None)
    scanner.run(0.0, BEGAN, threading.Event())
    clock.wait_until(clock.time_s + 10 * TR_S, threading.Event())
    return clock.got


def check(got: list[Volume | LostVolumes], values: Array, affine_mm: Array, lost: int) -> None:
    assert [item.first if isinstance(item, LostVolumes) else item.number for item in got] == list(range(9))
    for place, item in enumerate(got):
        if place == lost:
            assert item == LostVolumes(lost, 1)
            continue
        assert isinstance(item, Volume)
        np.testing.assert_array_equal(item.data, values[..., place])
        np.testing.assert_allclose(item.affine_mm, affine_mm, atol=1e-4)
        assert item.tr_s == TR_S


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_scan_with_faults_is_read_in_order(tmp_path: Path, vendor: Vendor) -> None:
    values = integers((5, 4, 3, 9))
    path = write_recording(tmp_path / "run.nii", values)
    faults = ScanFaults(drop_volumes=(4,), shuffle_ms=1800, partial=True, second_series=True, seed=2)
    got = watched(path, tmp_path / "out", vendor, faults)
    check(got, values, nibabel.load(path).affine, lost=3)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, 1)])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_recording_with_axes_of_either_hand_is_laid_as_it_was(
    tmp_path: Path, vendor: Vendor, signs: tuple[int, int, int]
) -> None:
    values, affine_mm = integers((5, 4, 3, 2)), oblique_mm(signs)
    path = write_recording(tmp_path / "run.nii", values, affine_mm)
    for place, volume in enumerate(watched(path, tmp_path / "out", vendor, ScanFaults())):
        assert isinstance(volume, Volume)
        turn = turn_onto(volume.affine_mm, affine_mm)
        laid = volume if turn is None else turn.of(volume)
        np.testing.assert_array_equal(laid.data, values[..., place])
        np.testing.assert_allclose(laid.affine_mm, affine_mm, atol=1e-3)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_volume_that_is_cut_off_is_lost(tmp_path: Path, vendor: Vendor) -> None:
    values = integers((5, 4, 3, 9))
    path = write_recording(tmp_path / "run.nii", values)
    got = watched(path, tmp_path / "out", vendor, ScanFaults(truncate_volumes=(6,)))
    check(got, values, nibabel.load(path).affine, lost=5)


def test_a_real_run_is_read_volume_by_volume(tmp_path: Path, real_data: Path) -> None:
    path = real_data / "fmri_haxby2001" / "sub001" / "BOLD" / "task001_run001" / "bold_1slice.nii.gz"
    held = nibabel.load(path)
    values = np.asarray(held.dataobj)[..., :9]
    short = write_recording(tmp_path / "run.nii", values, held.affine)
    got = watched(short, tmp_path / "out", "siemens", ScanFaults(drop_volumes=(8,)))
    check(got, values, held.affine, lost=7)
