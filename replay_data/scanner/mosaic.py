"""Siemens up to numaris 4 (VE11 and before): a volume is one picture, the mosaic of its slices."""

from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from .csa import write_csa
from .encoding import as_file, encoded
from .series import (
    Series,
    VolumeFile,
    add_pixel_format,
    add_plane,
    add_position,
    add_rescale,
    image_part,
    pixel_data,
    series_header,
    volume_header,
)

__all__ = ["SiemensFiles"]

_CSA = "SIEMENS CSA HEADER"


class SiemensFiles:
    """Writes each volume in a file ``001_SERIES_NUMBER.dcm``.

    Parameters
    ----------
    series : Series
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._n_tiles = ceil(sqrt(series.geometry.n_slices))
        self._constant = encoded(self._header())

    def __call__(self, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
        """Return the file of one volume.

        Parameters
        ----------
        stored : array of shape (x, y, z)
            As the recording stores it.
        number : int
            Of the volume, from 1.
        """
        series = self._series
        uid = series.image_uid(number)
        moment = volume_header(series, number)
        moment.AcquisitionNumber = number
        moment.private_block(0x0029, _CSA, create=True).add_new(0x10, "OB", self._image_csa(number))
        content = as_file(
            MRImageStorage,
            uid,
            self._constant,
            encoded(moment),
            image_part(uid, number),
            pixel_data(_tiled(series.slices(stored), self._n_tiles)),
        )
        return (VolumeFile(f"001_{series.number:06d}_{number:06d}.dcm", content),)

    def _header(self) -> Dataset:
        series, n_tiles = self._series, self._n_tiles
        header = series_header(series, MRImageStorage)
        header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM", "MOSAIC"]
        header.Manufacturer, header.ManufacturerModelName = "SIEMENS", "Skyra"
        header.SoftwareVersions = "syngo MR E11"
        header.SequenceName = "*epfid2d1_64"
        add_plane(header, series)
        add_position(header, series, series.geometry.mosaic_position_mm(n_tiles))
        if not series.scale.plain:
            add_rescale(header, series.scale)
        n_rows, n_columns = n_tiles * series.geometry.n_rows, n_tiles * series.geometry.n_columns
        add_pixel_format(header, series.scale, n_rows, n_columns)
        block = header.private_block(0x0029, _CSA, create=True)
        block.add_new(0x08, "CS", "IMAGE NUM 4")
        block.add_new(0x09, "LO", f"{series.began:%Y%m%d}")
        block.add_new(0x18, "CS", "MR")
        block.add_new(0x19, "LO", f"{series.began:%Y%m%d}")
        block.add_new(0x20, "OB", _series_csa(series))
        return header

    def _image_csa(self, number: int) -> bytes:
        series, geometry = self._series, self._series.geometry
        first_mm = geometry.mosaic_position_mm(self._n_tiles)
        return write_csa(
            {
                "ICE_Dims": ("LO", (f"X_1_1_1_{number}_1_1_1_1_1_1_1_{geometry.n_slices}",)),
                "ProtocolSliceNumber": ("IS", ("0",)),
                "AcquisitionMatrixText": ("SH", (f"{geometry.n_columns}*{geometry.n_rows}",)),
                "PhaseEncodingDirectionPositive": ("IS", ("1",)),
                "NumberOfImagesInMosaic": ("US", (str(geometry.n_slices),)),
                "SliceNormalVector": ("FD", tuple(f"{part:.8f}" for part in geometry.normal)),
                "TimeAfterStart": ("DS", (f"{(number - 1) * series.tr_s:.8f}",)),
                "SlicePosition_PCS": ("FD", tuple(f"{part:.8f}" for part in first_mm)),
                "MosaicRefAcqTimes": ("FD", ()),
                "B_value": ("IS", ()),
                "ImaPATModeText": ("LO", ()),
            }
        )


def _tiled(slices: npt.NDArray[Any], n_tiles: int) -> npt.NDArray[Any]:
    """Return slices as a square mosaic, row by row; the places left over are 0."""
    n_slices, n_rows, n_columns = slices.shape
    tiles = np.zeros((n_tiles**2, n_rows, n_columns), slices.dtype)
    tiles[:n_slices] = slices
    square = tiles.reshape(n_tiles, n_tiles, n_rows, n_columns).transpose(0, 2, 1, 3)
    return square.reshape(n_tiles * n_rows, n_tiles * n_columns)


def _series_csa(series: Series) -> bytes:
    protocol = (
        "### ASCCONV BEGIN ###\n"
        f"alTR[0]\t = \t{round(1e6 * series.tr_s)}\n"
        f"sSliceArray.lSize\t = \t{series.geometry.n_slices}\n"
        f"lRepetitions\t = \t{series.n_volumes - 1}\n"
        "### ASCCONV END ###"
    )
    return write_csa({"MrPhoenixProtocol": ("UT", (protocol,))})
