"""The simulated scanner beside real files of one, and on a real run."""

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from decode_stream.replay_data.scanner.csa import write_csa
from decode_stream.replay_data.scanner.scanner import ScanSettings

from .scans import TR_S, in_order_of, integers, played, volume_of, write_recording

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # nibabel calls its readers of DICOM experimental
    from nibabel.nicom import csareader

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def scanned_again(real: Path, folder: Path) -> tuple[pydicom.Dataset, pydicom.Dataset]:
    """Return a mosaic, and the one that the scanner writes of the volume that nibabel reads from it."""
    data, lps_mm = volume_of([real])
    # nibabel's axes are the row from the top and the column; a recording's the column and the row from below.
    values = np.asarray(data).transpose(1, 0, 2)[:, ::-1]
    n_rows = data.shape[0]
    to_nibabel = np.array([[0, -1, 0, n_rows - 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    affine_mm = LPS_TO_RAS @ lps_mm @ to_nibabel
    path = write_recording(folder / "run.nii", values[..., None].astype(np.int16), affine_mm)
    played(path, folder / "out", ScanSettings("siemens", 1.5))
    return pydicom.dcmread(real), pydicom.dcmread(folder / "out" / "001_000013_000001.dcm")


def check_alike(real: pydicom.Dataset, ours: pydicom.Dataset) -> None:
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        told = [float(part) for part in ours[keyword].value]
        np.testing.assert_allclose(told, [float(part) for part in real[keyword].value], atol=1e-3)
    for keyword in ("Rows", "Columns", "SOPClassUID", "Modality", "BitsAllocated", "BitsStored", "ImageType"):
        assert ours[keyword].value == real[keyword].value, keyword
    for keyword in ("RepetitionTime", "SliceThickness", "SpacingBetweenSlices"):
        # A NIfTI file holds its affine in 32 bits.
        np.testing.assert_allclose(float(ours[keyword].value), float(real[keyword].value), rtol=1e-6)
    assert "RescaleSlope" not in real
    assert "RescaleSlope" not in ours
    np.testing.assert_array_equal(ours.pixel_array, real.pixel_array)
    headers = [csareader.get_csa_header(image)["tags"] for image in (real, ours)]
    for tag in ("NumberOfImagesInMosaic", "AcquisitionMatrixText", "ProtocolSliceNumber"):
        assert headers[0][tag]["items"] == headers[1][tag]["items"], tag
        assert headers[0][tag]["vr"] == headers[1][tag]["vr"]
    for tag in ("SliceNormalVector", "SlicePosition_PCS"):
        np.testing.assert_allclose(headers[0][tag]["items"], headers[1][tag]["items"], atol=1e-3)


def test_a_mosaic_is_as_siemens_wrote_it(tmp_path: Path, real_data: Path) -> None:
    for number, real in enumerate(sorted((real_data / "fmri_dicom").glob("*.dcm"))[:2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        check_alike(*scanned_again(real, folder))


def test_a_mosaic_of_a_mosaic_is_the_same(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "first.nii", integers((6, 5, 4, 1)))
    played(path, tmp_path / "first", ScanSettings("siemens", TR_S))
    check_alike(*scanned_again(tmp_path / "first" / "001_000013_000001.dcm", tmp_path))


def test_a_real_run_is_played_volume_by_volume(tmp_path: Path, real_data: Path) -> None:
    path = real_data / "fmri_haxby2001" / "sub001" / "BOLD" / "task001_run001" / "bold_1slice.nii.gz"
    held = nibabel.load(path)
    values = np.asarray(held.dataobj)
    for vendor in ("siemens", "nifti"):
        done = played(path, tmp_path / vendor, ScanSettings(vendor, 2.5))
        assert done.n_volumes == done.n_files == 121
    for number, file in enumerate(sorted((tmp_path / "siemens").iterdir())):
        data, lps_mm = volume_of([file])
        ordered, apart = in_order_of(held.affine, (40, 20, 1), data, lps_mm)
        assert apart < 1e-4
        np.testing.assert_array_equal(ordered, values[..., number])
    for number, file in enumerate(sorted((tmp_path / "nifti").iterdir())):
        np.testing.assert_array_equal(np.asarray(nibabel.load(file).dataobj), values[..., number])


def test_nibabel_reads_a_csa_header_back() -> None:
    tags = {
        "AcquisitionMatrixText": ("SH", ("64*64",)),
        "SliceNormalVector": ("FD", ("0.25", "-0.5", "0.75")),
        "B_value": ("IS", ()),
        "MosaicRefAcqTimes": ("FD", tuple(f"{12.5 * place:.8f}" for place in range(27))),
    }
    read = csareader.read(write_csa(tags))
    assert read["type"] == 2
    assert {name: tag["items"] for name, tag in read["tags"].items()} == {
        "AcquisitionMatrixText": ["64*64"],
        "SliceNormalVector": [0.25, -0.5, 0.75],
        "B_value": [],
        "MosaicRefAcqTimes": [12.5 * place for place in range(27)],
    }
