"""Files of each vendor's kind become volumes whose voxels lie where the standard says."""

import warnings
from dataclasses import replace
from io import BytesIO

import nibabel
import numpy as np
import pydicom
import pytest

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.scanner.dicom_scans import read_dicom
from decode_stream.stream.scanner.files import read_volumes
from decode_stream.stream.scanner.stacks import SliceStacks, stacked

from . import vendor_files as v

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    from nibabel.nicom import dicomwrappers

NOON_S = 1767355200.0  # 2026-01-02 12:00:00 of the scanner's clock


def written(folder, content, name="a file of any name"):
    path = folder / name
    path.write_bytes(content)
    return path


def as_nibabel_reads(content):
    """Return every voxel's place in millimetres (right, anterior, superior) with its value, in order."""
    wrapper = dicomwrappers.wrapper_from_data(pydicom.dcmread(BytesIO(content)))
    data = np.asarray(wrapper.get_data(), dtype=np.float64)
    return placed(data, np.diag([-1.0, -1.0, 1.0, 1.0]) @ wrapper.affine)


def placed(data, affine_mm):
    index = np.indices(data.shape).reshape(3, -1)
    places = (affine_mm @ np.vstack([index, np.ones(index.shape[1])]))[:3].T
    rows = np.column_stack([np.round(places, 2) + 0.0, data.ravel()])
    return rows[np.lexsort(np.round(rows[:, :3]).T)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_mosaic_is_read_as_the_standard_places_it(tmp_path, reverse):
    content = v.mosaic(7, reverse=reverse)
    (volume,) = read_volumes(written(tmp_path, content))
    assert volume.data.shape == (v.COLUMNS, v.ROWS, v.SLICES)
    assert v.holds(volume, v.pixels(7))
    # dcm2niix keeps the order of a mosaic's slices.
    assert (volume.affine_mm[2, 2] < 0) == reverse
    assert (volume.number, volume.tr_s, volume.series) == (6, v.TR_S, v.UID)
    assert volume.acquired_s == pytest.approx(NOON_S + 6 * v.TR_S)
    assert np.allclose(placed(volume.data, volume.affine_mm), as_nibabel_reads(content), atol=0.02)


def test_a_mosaic_without_its_csa_header_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(
        RecordingError, match="without a Siemens CSA header: let the scanner export the enhanced"
    ):
        read_volumes(written(tmp_path, v.mosaic(1, csa=False)))


@pytest.mark.parametrize("vendor", ["ge", "philips", "siemens"])
def test_slices_become_a_volume_where_they_lie_whatever_their_order(vendor):
    files = v.slices(3, vendor)
    shuffled = [files[k] for k in (4, 1, 0, 3, 2)]
    scan = stacked([read_dicom(content).slices[0] for content in shuffled], 3)
    slope, intercept = (2.5, -10) if vendor == "philips" else (1.0, 0.0)
    assert v.holds(scan, v.pixels(3), slope, intercept)
    assert scan.tr_s == v.TR_S


def test_an_enhanced_file_of_one_volume_is_read_as_nibabel_reads_it(tmp_path):
    content = v.enhanced([4])
    (volume,) = read_volumes(written(tmp_path, content))
    assert v.holds(volume, v.pixels(4), 0.5, 3)
    assert (volume.number, volume.tr_s) == (3, v.TR_S)
    assert volume.acquired_s == pytest.approx(NOON_S + 3 * v.TR_S)
    assert np.allclose(placed(volume.data, volume.affine_mm), as_nibabel_reads(content), atol=0.02)


@pytest.mark.parametrize("indexed", [True, False])
def test_an_enhanced_file_may_hold_many_volumes(tmp_path, indexed):
    volumes = read_volumes(written(tmp_path, v.enhanced([1, 2, 3], indexed=indexed)))
    assert [volume.number for volume in volumes] == [0, 1, 2]
    assert all(v.holds(volume, v.pixels(n), 0.5, 3) for n, volume in enumerate(volumes, 1))
    assert [volume.acquired_s for volume in volumes] == pytest.approx([NOON_S + n * v.TR_S for n in range(3)])


def test_the_number_of_a_file_of_one_volume_is_its_instance_number_where_frames_do_not_tell(tmp_path):
    (volume,) = read_volumes(written(tmp_path, v.enhanced([1], instance=41)))
    assert volume.number == 40


@pytest.mark.parametrize("packed", [False, True])
def test_nifti_is_read_as_nibabel_reads_it(tmp_path, packed):
    path = written(tmp_path, v.nifti(5, packed=packed), "vol_0005.nii" + ".gz" * packed)
    (volume,) = read_volumes(path)
    image = nibabel.load(path)
    assert np.array_equal(volume.data, image.get_fdata(dtype=np.float32))
    assert np.array_equal(volume.affine_mm, image.affine)
    assert (volume.number, volume.tr_s, volume.series) == (5, v.TR_S, "vol_")


def test_a_nifti_file_of_a_whole_run_gives_its_volumes(tmp_path):
    volumes = read_volumes(written(tmp_path, v.nifti(5, n_volumes=4), "run.nii"))
    assert [volume.number for volume in volumes] == [0, 1, 2, 3]
    stored = nibabel.load(tmp_path / "run.nii").get_fdata(dtype=np.float32)
    assert all(np.array_equal(volume.data, stored[..., n]) for n, volume in enumerate(volumes))


def test_a_repetition_time_that_nibabel_left_at_one_is_not_believed(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "v_1.nii")
    (volume,) = read_volumes(tmp_path / "v_1.nii")
    assert np.isnan(volume.tr_s)


def test_what_is_no_volume_is_refused_with_the_reason(tmp_path):
    def refused(content, pattern, name="v_1.nii"):
        with pytest.raises(RecordingError, match=pattern):
            read_volumes(written(tmp_path, content, name))

    refused(b"", "it is empty")
    refused(b"hello, this is no image" * 40, "neither DICOM nor NIfTI")
    refused(v.nifti(1)[:-1], "of the .* bytes that its header says")
    refused(v.nifti(1, packed=True)[:-1], "compressed data end too early")
    checksum = bytearray(v.nifti(1, packed=True))
    checksum[-8] ^= 1
    refused(bytes(checksum), "compression is damaged")
    refused(v.nifti(1), "no number that says which volume", "bold.nii")
    refused(v.nifti(1, shape=(8, 6, 5))[:344] + b"abcd" + v.nifti(1)[348:], "header is damaged|it is damaged")
    refused(v.mosaic(1)[:-1], "of the .* bytes that its header says")
    refused(v.mosaic(1)[:700], "pixel data are not there")
    refused(v.slices(1, "ge")[0], "one slice of a volume")
    secondary = pydicom.dcmread(BytesIO(v.mosaic(1)))
    secondary.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    out = BytesIO()
    secondary.save_as(out)
    refused(out.getvalue(), "Secondary Capture Image Storage, not an MR image")
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        read_volumes(tmp_path / "missing.nii")


def test_no_cut_of_a_file_gives_a_volume(tmp_path):
    for content in (v.mosaic(1), v.enhanced([1]), v.nifti(1), v.nifti(1, packed=True)):
        for length in [*range(0, len(content), 97), len(content) - 1]:
            with pytest.raises(RecordingError):
                read_volumes(written(tmp_path, content[:length], "v_1.nii"))


def test_compressed_pixels_are_read_when_they_are_whole(tmp_path):
    dataset = pydicom.dcmread(BytesIO(v.mosaic(2)))
    dataset.compress(pydicom.uid.RLELossless)
    out = BytesIO()
    dataset.save_as(out)
    (volume,) = read_volumes(written(tmp_path, out.getvalue()))
    assert v.holds(volume, v.pixels(2))
    for n_missing in (8, 9, 100, len(out.getvalue()) // 2):  # the last 8 bytes only end the sequence
        with pytest.raises(RecordingError):
            read_volumes(written(tmp_path, out.getvalue()[:-n_missing]))


def test_slices_that_make_no_grid_are_refused():
    stacks = SliceStacks()
    files = [read_dicom(content).slices[0] for content in v.slices(1, "ge", n_slices=6)]
    assert [stacks.add(one) for one in files[:3]] == [[], [], []]
    (fault,) = stacks.add(files[1])
    assert "second at its place" in str(fault)
    uneven = [read_dicom(content).slices[0] for content in v.slices(1, "philips", n_slices=6)]
    uneven = [replace(one, n_slices=5) for one in (*uneven[:3], *uneven[4:])]
    stacks = SliceStacks()
    *_, found = [stacks.add(one) for one in uneven]
    assert "apart, not evenly" in str(found[0])


def test_the_number_of_slices_is_told_from_their_places_where_the_header_does_not_say_it():
    stacks = SliceStacks()
    files = [
        read_dicom(content).slices[0]
        for number in (1, 2, 3)
        for content in v.slices(number, "ge", told=False)
    ]
    order = np.random.default_rng(0).permutation(len(files))
    scans = [scan for k in order for scan in stacks.add(files[k])]
    assert stacks.n_slices == v.SLICES
    assert sorted(scan.count for scan in scans) == [1, 2, 3]
    assert all(v.holds(scan, v.pixels(scan.count)) for scan in scans)
