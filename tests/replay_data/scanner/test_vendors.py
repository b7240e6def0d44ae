"""What each vendor's files hold, as nibabel and pydicom read them: geometry, pixels, times, names."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_rescale

from decode_stream.replay_data.scanner.scanner import ScanSettings
from decode_stream.replay_data.scanner.vendors import VENDORS, Vendor
from decode_stream.stream.errors import RecordingError

from .scans import TR_S, Array, in_order_of, integers, oblique_mm, played, volume_of, write_recording

DICOM: tuple[Vendor, ...] = tuple(vendor for vendor in VENDORS if vendor != "nifti")
A_FILE_A_SLICE = ("ge", "philips")


def files_by_volume(out: Path, n_slices: int, vendor: str) -> dict[int, list[Path]]:
    volumes = defaultdict(list)
    for path in sorted(out.iterdir()):
        number = int(pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber)
        volumes[(number - 1) // n_slices + 1 if vendor in A_FILE_A_SLICE else number].append(path)
    return volumes


def check_volumes(out: Path, vendor: str, expected: Array, affine_mm: Array, atol: float) -> None:
    shape = expected.shape[:3]
    volumes = files_by_volume(out, shape[2], vendor)
    assert sorted(volumes) == list(range(1, expected.shape[3] + 1))
    for number, files in volumes.items():
        data, lps_mm = volume_of(files)
        ordered, apart = in_order_of(affine_mm, shape, data, lps_mm)
        assert apart < 1e-4
        np.testing.assert_allclose(ordered, expected[..., number - 1], rtol=0, atol=atol)


@pytest.mark.parametrize("vendor", DICOM)
@pytest.mark.parametrize(
    "affine_mm",
    [
        oblique_mm(),
        oblique_mm((1, 1, 1)),
        oblique_mm((-1, 1, -1)),
        oblique_mm((1, -1, 1), (90, 4, 85)),
        oblique_mm((-1, 1, 1), (0, 0, 0)),
    ],
    ids=["radiological", "neurological", "downwards", "sagittal", "straight"],
)
def test_nibabel_reads_the_same_volumes_at_the_same_place(
    tmp_path: Path, vendor: Vendor, affine_mm: Array
) -> None:
    values = integers()
    path = write_recording(tmp_path / "run.nii", values, affine_mm)
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    check_volumes(tmp_path / "out", vendor, values, affine_mm, atol=0)


@pytest.mark.parametrize("vendor", DICOM)
def test_a_single_slice_is_a_volume_too(tmp_path: Path, vendor: Vendor) -> None:
    values = integers((6, 5, 1, 3))
    path = write_recording(tmp_path / "run.nii.gz", values)
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    files = files_by_volume(tmp_path / "out", 1, vendor)
    assert [len(files[number]) for number in (1, 2, 3)] == [1, 1, 1]
    image = pydicom.dcmread(files[2][0])
    pixels = image.pixel_array.reshape(5, 6)
    np.testing.assert_array_equal(pixels[::-1].T, values[:, :, 0, 1])
    shared = getattr(image, "SharedFunctionalGroupsSequence", None)
    told = shared[0].PixelMeasuresSequence[0] if shared else image
    assert float(told.SliceThickness) == pytest.approx(3.75, abs=1e-6)
    np.testing.assert_allclose([float(part) for part in told.PixelSpacing], [3.0, 3.1], atol=1e-6)


@pytest.mark.parametrize("vendor", DICOM)
@pytest.mark.parametrize("kind", ["negative", "scaled", "fractions", "wide"])
def test_what_does_not_fit_is_kept_in_the_slope(tmp_path: Path, vendor: Vendor, kind: str) -> None:
    values: Array = integers(low=-700, high=900)
    scale = None
    step = 0.0
    if kind == "scaled":
        scale = (0.37, -12.0)
    elif kind == "fractions":
        values = np.random.default_rng(5).normal(500, 90, values.shape).astype(np.float32)
        step = float(values.max() - values.min()) / 65535
    elif kind == "wide":
        values = values.astype(np.int32) * 1000
        step = float(values.max() - values.min()) / 65535
    path = write_recording(tmp_path / "run.nii", values, scale=scale)
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    meant = nibabel.load(path).get_fdata()
    largest = float(np.abs(meant).max())
    check_volumes(tmp_path / "out", vendor, meant, oblique_mm(), atol=0.501 * step + 1e-7 * largest)


@pytest.mark.parametrize("vendor", A_FILE_A_SLICE)
def test_the_standard_s_rescaling_gives_the_values(tmp_path: Path, vendor: Vendor) -> None:
    values = np.random.default_rng(5).normal(500, 90, (4, 3, 2, 2)).astype(np.float32)
    path = write_recording(tmp_path / "run.nii", values)
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    image = pydicom.dcmread(files_by_volume(tmp_path / "out", 2, vendor)[1][0])
    told = apply_rescale(image.pixel_array, image)
    step = float(values.max() - values.min()) / 65535
    np.testing.assert_allclose(told[::-1].T, values[:, :, 0, 0], rtol=0, atol=0.51 * step)


@pytest.mark.parametrize("vendor", DICOM)
def test_images_tell_series_number_and_time(tmp_path: Path, vendor: Vendor) -> None:
    path = write_recording(tmp_path / "run.nii", integers())
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    volumes = files_by_volume(tmp_path / "out", 4, vendor)
    images = [pydicom.dcmread(files[0], stop_before_pixels=True) for _, files in sorted(volumes.items())]
    assert len({image.SeriesInstanceUID for image in images}) == 1
    every = [pydicom.dcmread(file, stop_before_pixels=True) for files in volumes.values() for file in files]
    assert len({image.SOPInstanceUID for image in every}) == len(every)
    assert all(image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID for image in every)
    assert all(pydicom.uid.UID(image.SOPInstanceUID).is_valid for image in every)
    # The scan began 2.75 s before midnight.
    times = [(image.AcquisitionDate, image.AcquisitionTime) for image in images]
    assert times[:3] == [
        ("20260301", "235957.250000"),
        ("20260301", "235958.750000"),
        ("20260302", "000000.250000"),
    ]
    assert [image.ContentTime for image in images][:2] == ["235958.750000", "000000.250000"]
    if vendor.startswith("siemens"):
        assert [image.AcquisitionNumber for image in images] == [1, 2, 3, 4, 5]
    if vendor in A_FILE_A_SLICE:
        assert [image.TemporalPositionIdentifier for image in images] == [1, 2, 3, 4, 5]
        assert images[0].NumberOfTemporalPositions == 5
    shared = getattr(images[0], "SharedFunctionalGroupsSequence", None)
    told = shared[0].MRTimingAndRelatedParametersSequence[0] if shared else images[0]
    assert float(told.RepetitionTime) == 1500.0


@pytest.mark.parametrize("vendor", ["siemens-xa", "philips-enhanced"])
def test_frames_tell_slice_and_moment(tmp_path: Path, vendor: Vendor) -> None:
    path = write_recording(tmp_path / "run.nii", integers())
    played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    image = pydicom.dcmread(files_by_volume(tmp_path / "out", 4, vendor)[3][0])
    assert image.NumberOfFrames == 4
    contents = [frame.FrameContentSequence[0] for frame in image.PerFrameFunctionalGroupsSequence]
    assert [content.InStackPositionNumber for content in contents] == [1, 2, 3, 4]
    assert {content.TemporalPositionIndex for content in contents} == {3}
    assert [list(content.DimensionIndexValues) for content in contents] == [[1, n, 3] for n in (1, 2, 3, 4)]
    assert contents[0].FrameAcquisitionDateTime == "20260302000000.250000"


@pytest.mark.parametrize(
    ("vendor", "names"),
    [
        ("siemens", ["001_000013_000001.dcm", "001_000013_000002.dcm"]),
        ("siemens-xa", ["001_000013_000001.dcm", "001_000013_000002.dcm"]),
        ("ge", ["i12345.MRDCM.1", "i12346.MRDCM.2", "i12347.MRDCM.3", "i12348.MRDCM.4"]),
        ("philips", ["IM_0001", "IM_0002", "IM_0003", "IM_0004"]),
        ("philips-enhanced", ["IM_0001", "IM_0002"]),
        ("nifti", ["013_volume_00001.nii", "013_volume_00002.nii"]),
    ],
)
def test_files_are_named_as_the_vendor_names_them(tmp_path: Path, vendor: Vendor, names: list[str]) -> None:
    path = write_recording(tmp_path / "run.nii", integers((6, 5, 2, 2)))
    done = played(path, tmp_path / "out", ScanSettings(vendor, TR_S))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    assert (done.n_volumes, done.n_files) == (2, len(names))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", "u1"])
def test_nifti_keeps_values_as_they_are_stored(tmp_path: Path, ending: str, dtype: str) -> None:
    values = integers(high=250).astype(dtype)
    path = write_recording(tmp_path / f"run{ending}", values, scale=(0.5, 3.0))
    played(path, tmp_path / "out", ScanSettings("nifti", TR_S))
    meant = nibabel.load(path)
    for number in range(5):
        volume = nibabel.load(tmp_path / "out" / f"013_volume_{number + 1:05d}.nii")
        assert volume.shape == (6, 5, 4)
        assert volume.get_data_dtype() == np.dtype(dtype).newbyteorder("<")
        assert float(volume.header["pixdim"][4]) == TR_S
        np.testing.assert_allclose(volume.affine, meant.affine, atol=1e-5)
        np.testing.assert_array_equal(volume.get_fdata(), meant.get_fdata()[..., number])


def test_a_sheared_grid_is_refused_for_dicom_and_played_as_nifti(tmp_path: Path) -> None:
    affine_mm = oblique_mm()
    affine_mm[:3, 2] += 0.2 * affine_mm[:3, 0]
    path = write_recording(tmp_path / "run.nii", integers((6, 5, 4, 2)), affine_mm)
    with pytest.raises(RecordingError, match=r"axes of .*run.nii meet at .* degrees.*--as nifti"):
        played(path, tmp_path / "out", ScanSettings("ge", TR_S))
    assert played(path, tmp_path / "nifti", ScanSettings("nifti", TR_S)).n_volumes == 2
    held = nibabel.load(tmp_path / "nifti" / "013_volume_00001.nii")
    np.testing.assert_allclose(held.affine, affine_mm, atol=1e-5)


def test_values_that_are_no_numbers_are_refused_for_dicom(tmp_path: Path) -> None:
    values = integers((6, 5, 4, 3)).astype(np.float32)
    values[1, 2, 3, 1] = np.nan
    path = write_recording(tmp_path / "run.nii", values)
    with pytest.raises(RecordingError, match=r"1 values in volume 2 that are no numbers.*16 bits"):
        played(path, tmp_path / "out", ScanSettings("siemens", TR_S))


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_same_scan_is_the_same_bytes(tmp_path: Path, vendor: Vendor) -> None:
    path = write_recording(tmp_path / "run.nii", integers((6, 5, 2, 2)))
    held: list[dict[str, Any]] = []
    for name in ("one", "two"):
        played(path, tmp_path / name, ScanSettings(vendor, TR_S))
        held.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert held[0] == held[1]
