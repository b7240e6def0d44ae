"""Siemens up to numaris 4 (VE11 and before): a volume is one picture, the mosaic of its slices."""

from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.uid import MRImageStorage

from .csa import write_csa
from .series import Series, VolumeFile, add_pixels, add_plane, add_rescale, as_file, series_header

__all__ = ["siemens_files"]


def siemens_files(series: Series, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
    """Return one volume as Siemens writes it, in a file ``001_SERIES_NUMBER.dcm``.

    Parameters
    ----------
    series : Series
    stored : array of shape (x, y, z)
        As the recording stores it.
    number : int
        Of the volume, from 1.
    """
    slices = series.slices(stored)
    tiled, n_tiles = tile(slices)
    header = series_header(series, MRImageStorage, number)
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM", "MOSAIC"]
    header.Manufacturer, header.ManufacturerModelName = "SIEMENS", "Skyra"
    header.SoftwareVersions = "syngo MR E11"
    header.SequenceName = "*epfid2d1_64"
    header.AcquisitionNumber = header.InstanceNumber = number
    add_plane(header, series, series.geometry.mosaic_position_mm(n_tiles))
    if not series.scale.plain:
        add_rescale(header, series.scale)
    block = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    block.add_new(0x09, "LO", f"{series.began:%Y%m%d}")
    block.add_new(0x10, "OB", _image_csa(series, number))
    block.add_new(0x18, "CS", "MR")
    block.add_new(0x19, "LO", f"{series.began:%Y%m%d}")
    block.add_new(0x20, "OB", _series_csa(series))
    add_pixels(header, tiled, series.scale)
    return (VolumeFile(f"001_{series.number:06d}_{number:06d}.dcm", as_file(header)),)


def tile(slices: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Return slices as one square mosaic, row by row, and how many lie side by side; the places left over are 0."""
    n_slices, n_rows, n_columns = slices.shape
    n_tiles = ceil(sqrt(n_slices))
    tiles = np.zeros((n_tiles**2, n_rows, n_columns), slices.dtype)
    tiles[:n_slices] = slices
    square = tiles.reshape(n_tiles, n_tiles, n_rows, n_columns).transpose(0, 2, 1, 3)
    return square.reshape(n_tiles * n_rows, n_tiles * n_columns), n_tiles


def _image_csa(series: Series, number: int) -> bytes:
    geometry = series.geometry
    first = geometry.mosaic_position_mm(ceil(sqrt(geometry.n_slices)))
    return write_csa(
        {
            "ICE_Dims": ("LO", (f"X_1_1_1_{number}_1_1_1_1_1_1_1_{geometry.n_slices}",)),
            "ProtocolSliceNumber": ("IS", ("0",)),
            "AcquisitionMatrixText": ("SH", (f"{geometry.n_columns}*{geometry.n_rows}",)),
            "PhaseEncodingDirectionPositive": ("IS", ("1",)),
            "NumberOfImagesInMosaic": ("US", (str(geometry.n_slices),)),
            "SliceNormalVector": ("FD", tuple(f"{part:.8f}" for part in geometry.normal)),
            "TimeAfterStart": ("DS", (f"{(number - 1) * series.tr_s:.8f}",)),
            "SlicePosition_PCS": ("FD", tuple(f"{part:.8f}" for part in first)),
            "MosaicRefAcqTimes": ("FD", ()),
            "B_value": ("IS", ()),
            "ImaPATModeText": ("LO", ()),
        }
    )


def _series_csa(series: Series) -> bytes:
    protocol = (
        "### ASCCONV BEGIN ###\n"
        f"alTR[0]\t = \t{round(1e6 * series.tr_s)}\n"
        f"sSliceArray.lSize\t = \t{series.geometry.n_slices}\n"
        f"lRepetitions\t = \t{series.n_volumes - 1}\n"
        "### ASCCONV END ###"
    )
    return write_csa({"MrPhoenixProtocol": ("UT", (protocol,))})
