"""A watched folder: arrivals of every order, files that grow, and everything that does not fit the run."""

from zlib import crc32

import numpy as np
import pytest

from decode_stream.stream.errors import UsageError
from decode_stream.stream.scanner.folder_watch import FolderWatch
from decode_stream.stream.scanner.volume import LostVolumes

from . import vendor_files as v
from .vendor_files import TR_S, Scanner

VENDORS = {
    "mosaic": lambda n: [v.mosaic(n)],
    "xa": lambda n: [v.enhanced([n])],
    "ge": lambda n: v.slices(n, "ge"),
    "philips": lambda n: v.slices(n, "philips"),
    "siemens slices": lambda n: v.slices(n, "siemens"),
    "nifti": lambda n: [v.nifti(n)],
    "packed nifti": lambda n: [v.nifti(n, packed=True)],
}


def name_of(vendor, number, part):
    ending = {"nifti": ".nii", "packed nifti": ".nii.gz"}.get(vendor)
    # No name of DICOM tells anything: they come in the order of nothing.
    return f"vol_{number:04d}{ending}" if ending else f"{crc32(bytes([number, part])):08x}"


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendors_volumes_come_in_order_however_they_arrive(tmp_path, vendor):
    scanner = Scanner(tmp_path)
    generator = np.random.default_rng(1)
    for number in range(1, 7):
        for part, content in enumerate(VENDORS[vendor](number)):
            scanner.at(
                number * TR_S + generator.uniform(0, 0.9 * TR_S), name_of(vendor, number, part), content
            )
    scanner.run(12.0)
    assert scanner.places == list(range(6))
    assert not scanner.told
    slope, intercept = {"xa": (0.5, 3), "philips": (2.5, -10)}.get(vendor, (1.0, 0.0))
    if "nifti" not in vendor:
        assert all(v.holds(one, v.pixels(one.number + 1), slope, intercept) for one in scanner.volumes)
    assert all(one.tr_s == TR_S for one in scanner.volumes)
    assert (scanner.watch.n_seen, scanner.watch.n_lost, scanner.watch.n_late) == (6, 0, 0)


def test_an_enhanced_file_with_all_volumes_gives_them_all(tmp_path):
    scanner = Scanner(tmp_path)
    scanner.at(1.0, "IM_0001", v.enhanced([1, 2, 3, 4]))
    scanner.run(3.0)
    assert scanner.places == [0, 1, 2, 3]


@pytest.mark.parametrize("vendor", ["mosaic", "xa", "nifti", "packed nifti"])
def test_a_file_that_grows_is_read_when_it_is_whole_and_not_before(tmp_path, vendor):
    scanner = Scanner(tmp_path, series="vol_" if "nifti" in vendor else "13")
    (content,) = VENDORS[vendor](1)
    lengths = [*range(0, 300, 7), *np.linspace(300, len(content) - 1, 40).astype(int), len(content)]
    for step, length in enumerate(lengths):
        scanner.at(0.03 * step, "vol_0001.nii", content[:length])
    scanner.run(0.03 * len(lengths) + 1.0)
    ((time_s, volume),) = scanner.items
    whole_s = 0.03 * (len(lengths) - 1)
    granted_s = 0.1 * TR_S if "nifti" in vendor else 0.0  # numbers of NIfTI may begin at 0
    assert whole_s <= time_s <= whole_s + granted_s + 0.05
    assert volume.number == 0
    assert not scanner.told


def test_every_byte_of_growth_is_survived(tmp_path):
    scanner = Scanner(tmp_path)
    content = v.slices(1, "ge", n_slices=1)[0]
    for length in range(0, len(content) + 1, 3):
        scanner.at(0.02 * length, "i1.MRDCM.1", content[:length])
    scanner.at(0.02 * len(content) + 0.02, "i1.MRDCM.1", content)
    scanner.run(0.02 * len(content) + 2.0)
    assert scanner.places == [0]
    assert not scanner.told


def test_a_copy_that_has_its_length_before_its_content_is_waited_for(tmp_path):
    scanner = Scanner(tmp_path)
    content = v.mosaic(1)
    for step in range(1, 9):
        half = content[: len(content) * step // 8]
        scanner.at(0.1 * step, "a.dcm", half + bytes(len(content) - len(half)))
    scanner.run(3.0)
    ((_, volume),) = scanner.items
    assert v.holds(volume, v.pixels(1))


def test_a_file_that_ends_in_zeros_for_good_is_read_once_it_has_settled(tmp_path):
    scanner = Scanner(tmp_path, series="vol_")
    scanner.at(1.0, "vol_0000.nii", v.nifti(0)[:-32] + bytes(32))
    scanner.run(3.0)
    ((time_s, _),) = scanner.items
    assert 1.25 <= time_s <= 1.3


def test_a_truncated_file_and_one_of_another_kind_are_told_once_by_name(tmp_path):
    scanner = Scanner(tmp_path)
    scanner.at(0.0, "cut.dcm", v.mosaic(1)[:-10])
    scanner.at(0.0, "cut_0001.nii", v.nifti(1)[:-10])
    scanner.at(0.0, "notes.txt", b"volunteer moved")
    scanner.at(0.0, "vol_0001.nii.gz.part", b"half")
    scanner.at(0.0, ".hidden", b"half")
    scanner.at(1.0, "a.dcm", v.mosaic(1))
    scanner.run(30.0)
    assert scanner.places == [0]
    assert scanner.kinds() == ["unreadable"] * 3
    told = "\n".join(text for _, text in scanner.told)
    for part in ("cut.dcm is no whole volume: it has", "cut_0001.nii is no whole", "neither DICOM nor NIfTI"):
        assert told.count(part) == 1
    assert scanner.watch.n_unreadable == 3


def test_a_file_told_as_truncated_is_read_when_it_is_whole_after_all(tmp_path):
    scanner = Scanner(tmp_path)
    scanner.at(0.0, "a.dcm", v.mosaic(1)[:-10])
    scanner.at(9.0, "a.dcm", v.mosaic(1))
    scanner.run(12.0)
    assert (scanner.places, scanner.kinds(), scanner.watch.n_unreadable) == ([0], ["unreadable"], 0)


@pytest.mark.parametrize(
    ("odd", "part"),
    [
        (lambda: v.nifti(3, shape=(8, 6, 4)), "a matrix of 8 x 6 x 4, and the run has 8 x 6 x 5"),
        (lambda: v.nifti(3, tr_s=2.0), "a repetition time of 2 s, and the run has 1.5 s"),
        (
            lambda: v.nifti(3, shift_mm=2.0),
            "lies elsewhere in the scanner than the run's first volume, by up to 2.0 mm",
        ),
    ],
    ids=["matrix", "repetition time", "place"],
)
def test_a_volume_that_does_not_fit_is_refused_and_the_run_goes_on(tmp_path, odd, part):
    scanner = Scanner(tmp_path)
    for number in (1, 2, 4, 6):
        scanner.at(number * TR_S, f"vol_{number:04d}.nii", v.nifti(number))
    for number in (3, 5):
        scanner.at(number * TR_S, f"vol_{number:04d}.nii", odd())
    scanner.run(12.0)
    assert scanner.places == [0, 1, (2, 1), 3, (4, 1), 5]
    assert scanner.kinds() == ["refused"]  # once, though there are two of them
    assert part in scanner.told[0][1]
    assert "vol_0003.nii" in scanner.told[0][1]
    assert (scanner.watch.n_refused, scanner.watch.n_lost) == (2, 2)
    # The place of a refused volume is told as soon as it has come.
    assert next(time_s for time_s, item in scanner.items if item == LostVolumes(2, 1)) < 3 * TR_S + 0.05


def test_another_echo_is_refused_and_takes_no_place(tmp_path):
    scanner = Scanner(tmp_path)
    for number in (1, 2, 3):
        first, second = v.slices(number, "philips"), v.slices(number, "philips", echo_ms="50")
        for part in range(v.SLICES):
            # From the second volume on, the second echo is the first to be whole.
            later = 0.1 * (number > 1)
            scanner.at(number * TR_S + later, f"{number}_{part}_1", first[part])
            scanner.at(number * TR_S + 0.05, f"{number}_{part}_2", second[part])
    scanner.run(8.0)
    assert (scanner.places, scanner.kinds(), scanner.watch.n_refused) == ([0, 1, 2], ["refused"], 3)
    assert "an echo time of 50 ms, and the run has 30 ms" in scanner.told[0][1]


def test_a_repetition_time_that_is_asked_for_is_kept_to(tmp_path):
    scanner = Scanner(tmp_path, tr_s=2.0)
    scanner.at(0.0, "a.dcm", v.mosaic(1))
    scanner.run(2.0)
    assert not scanner.items
    assert "a repetition time of 1.5 s, and the run has 2 s" in scanner.told[0][1]


def test_nifti_that_says_no_repetition_time_needs_one_told(tmp_path):
    content = v.nifti(1, tr_s=0.0)
    (tmp_path / "vol_0001.nii").write_bytes(content)
    silent, told = Scanner(tmp_path), Scanner(tmp_path, tr_s=1.5)
    silent.run(3.0)
    assert not silent.items
    assert "does not say its repetition time" in silent.told[0][1]
    told.run(3.0)
    assert [one.tr_s for one in told.volumes] == [1.5]


def test_a_second_series_is_told_once_and_left_out(tmp_path):
    scanner = Scanner(tmp_path)
    for number in (1, 2, 3):
        # What the scanner makes of the run itself is a later series, and may come first.
        scanner.at(number * TR_S + 0.3, f"a{number}", v.mosaic(number))
        scanner.at(number * TR_S, f"b{number}", v.mosaic(number, uid="1.2.3", series=14))
    scanner.run(8.0)
    assert scanner.places == [0, 1, 2]
    assert {one.series for one in scanner.volumes} == {v.UID}
    assert (scanner.kinds(), scanner.watch.n_ignored) == (["series"], 3)
    assert "b1 is of series 14 (faces_run-01), and series 13 (faces_run-01) is read" in scanner.told[0][1]


@pytest.mark.parametrize("name", ["1.2.3", "13", "faces_run-01"])
def test_the_series_that_is_named_is_kept_at_once(tmp_path, name):
    scanner = Scanner(tmp_path, series=name)
    scanner.at(0.0, "a1", v.nifti(1))
    scanner.at(0.0, "b1", v.mosaic(1, uid="1.2.3"))
    scanner.run(0.1)
    assert [one.series for one in scanner.volumes] == ["1.2.3"]


def test_a_lost_volume_is_noticed_and_a_latecomer_counted(tmp_path):
    scanner = Scanner(tmp_path)
    for number in (1, 2, 3, 5, 6):
        scanner.at(number * TR_S, f"a{number}", v.mosaic(number))
    scanner.at(9.5, "a4", v.mosaic(4))
    scanner.run(12.0)
    assert scanner.places == [0, 1, 2, (3, 1), 4, 5]
    noticed_s = next(time_s for time_s, item in scanner.items if item == LostVolumes(3, 1))
    assert noticed_s - 4 * TR_S <= 1.2 * TR_S  # a repetition time after it should have been there
    assert scanner.kinds() == ["late"]
    assert (scanner.watch.n_lost, scanner.watch.n_late, scanner.watch.n_seen) == (1, 1, 5)


def test_a_lost_slice_loses_its_volume_and_is_told(tmp_path):
    scanner = Scanner(tmp_path)
    for number in (1, 2, 3):
        for part, content in enumerate(v.slices(number, "ge")):
            if (number, part) != (2, 3):
                scanner.at(number * TR_S, f"i{number}.MRDCM.{part}", content)
    scanner.run(8.0)
    assert scanner.places == [0, (1, 1), 2]
    assert scanner.told == [("lost", "Volume 2 is lost: 4 of its 5 slices came.")]


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_of_nifti_files_begin_at_0_or_1(tmp_path, first):
    scanner = Scanner(tmp_path)
    order = [first + 1, first, first + 2]
    for step, number in enumerate(order):
        scanner.at(0.05 * step, f"run-01_{number}.nii", v.nifti(number))
    scanner.run(2.0)
    assert scanner.places == [0, 1, 2]
    assert [int(one.path.stem[-1]) for one in scanner.volumes] == [first, first + 1, first + 2]


def test_the_same_volume_under_two_names_counts_once(tmp_path):
    scanner = Scanner(tmp_path)
    for name in ("a", "b", "c"):
        scanner.at(0.0, name, v.mosaic(1))
    scanner.run(2.0)
    assert (scanner.places, scanner.kinds(), scanner.watch.n_refused) == ([0], ["refused"], 2)


def test_a_file_that_gets_its_name_when_it_is_whole_is_read(tmp_path):
    scanner = Scanner(tmp_path)
    scanner.at(0.0, "x", v.mosaic(1)[:1000])
    scanner.run(0.5)
    (tmp_path / "x").unlink()
    scanner.at(1.0, "y", v.mosaic(1))
    scanner.run(20.0)
    assert (scanner.places, scanner.told) == ([0], [])


def test_a_folder_that_goes_away_is_told_once_and_tried_again(tmp_path):
    folder = tmp_path / "share"
    folder.mkdir()
    scanner = Scanner(folder)
    scanner.at(0.0, "a1", v.mosaic(1))
    scanner.run(1.0)
    folder.rename(tmp_path / "gone")
    scanner.run(2.0)
    (tmp_path / "gone").rename(folder)
    scanner.at(3.0, "a2", v.mosaic(2))
    scanner.run(4.0)
    assert (scanner.places, scanner.kinds()) == ([0, 1], ["folder"])


def test_a_folder_in_the_folder_is_told_and_a_missing_one_refused(tmp_path):
    (tmp_path / "run1").mkdir()
    scanner = Scanner(tmp_path)
    scanner.run(0.1)
    assert scanner.kinds() == ["folder"]
    with pytest.raises(UsageError, match="There is no folder .*nowhere"):
        FolderWatch(tmp_path / "nowhere", clock=lambda: 0.0, tell=print)


def test_pull_waits_no_longer_than_it_may(tmp_path):
    scanner = Scanner(tmp_path)
    before_s = scanner.now_s
    assert scanner.watch.pull(0.5) == []
    assert 0.5 <= scanner.now_s - before_s < 0.53


def test_the_real_mosaics_come_by_acquisition_with_the_gap_between_them(real_data, tmp_path):
    folder = real_data / "fmri_dicom"
    files = sorted(folder.iterdir())
    numbers = [
        10,
        1,
        2,
        3,
        4,
        5,
    ]  # the file of name 0 is that of acquisition 10; those of 6 to 9 are not there
    scanner = Scanner(tmp_path)
    generator = np.random.default_rng(0)
    for number, path in zip(numbers, files, strict=True):
        content, at_s = path.read_bytes(), number * 1.5 + generator.uniform(0, 0.9)
        for part in (0.0, 0.3, 0.6, 1.0):
            scanner.at(at_s + part / 2, path.name, content[: int(part * len(content))])
    scanner.run(18.0)
    assert scanner.places == [0, 1, 2, 3, 4, (5, 4), 9]
    assert [one.path.name[-5] for one in scanner.volumes] == list("123450")
    assert {(one.data.shape, one.tr_s) for one in scanner.volumes} == {((64, 64, 27), 1.5)}
    seconds = np.diff([one.acquired_s for one in scanner.volumes])
    assert seconds == pytest.approx([1.5] * 4 + [7.5])
    # As dcm2niix 1.0.20260724 has them.
    affine = [[-2.9991419, 0.0172741, 0.0928581, 92.0770637], [0.0251488, 2.9801249, 0.4584487, -111.91008]]
    assert np.allclose(scanner.volumes[0].affine_mm[:2], affine, atol=3e-5)
    sums = [float(one.data.sum(dtype=np.float64)) for one in scanner.volumes]
    assert sums == [34099025, 34055979, 34121000, 34158773, 34261052, 34671767]
    assert not scanner.told
