"""Small images as each vendor writes them, and a folder that is watched under a clock of its own."""

import gzip
import struct
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from decode_stream.stream.scanner.folder_watch import FolderWatch
from decode_stream.stream.scanner.volume import LostVolumes

ROWS, COLUMNS, SLICES = 6, 8, 5
TR_S = 1.5
UID = generate_uid(entropy_srcs=["the run"])
#: An oblique plane: turned by 0.3 about x, then by 0.2 about z.
_X, _Z = 0.3, 0.2
ALONG_ROW = np.array([np.cos(_Z), np.sin(_Z), 0.0])
ALONG_COLUMN = np.array([-np.sin(_Z) * np.cos(_X), np.cos(_Z) * np.cos(_X), np.sin(_X)])
NORMAL = np.cross(ALONG_ROW, ALONG_COLUMN)
ROW_MM, COLUMN_MM, SLICE_MM = 3.5, 3.0, 4.0
ORIGIN_MM = np.array([-90.0, -70.0, -40.0])


def pixels(number, n_slices=SLICES):
    """Return the stored pixels of a volume, (slices, rows, columns); no two volumes are alike."""
    generator = np.random.default_rng(number)
    return generator.integers(1, 4000, (n_slices, ROWS, COLUMNS)).astype(np.uint16)


def position_mm(place):
    return ORIGIN_MM + place * SLICE_MM * NORMAL


def value_at(volume, slice_, row, column):
    """Return what a volume holds where the standard says that a pixel lies (PS3.3, C.7.6.2.1.1)."""
    lps = position_mm(slice_) + column * COLUMN_MM * ALONG_ROW + row * ROW_MM * ALONG_COLUMN
    ras = lps * [-1, -1, 1]
    index = np.linalg.inv(volume.affine_mm) @ [*ras, 1.0]
    assert np.allclose(index, np.rint(index), atol=1e-3)
    return volume.data[tuple(np.rint(index[:3]).astype(int))]


def holds(volume, stored, slope=1.0, intercept=0.0):
    """Return whether every pixel is where the standard puts it."""
    return volume.data.dtype == np.float32 and all(
        np.isclose(value_at(volume, k, i, j), stored[k, i, j] * slope + intercept)
        for k, i, j in np.ndindex(stored.shape)
    )


def _bytes(header):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    out = BytesIO()
    dcmwrite(out, header, enforce_file_format=True)
    return out.getvalue()


def _header(number, sop_class, uid, tr_s):
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = sop_class, generate_uid()
    header.SeriesInstanceUID, header.SeriesNumber, header.SeriesDescription = uid, 13, "faces_run-01"
    header.AcquisitionDate = "20260102"
    seconds = 43200 + (number - 1) * tr_s
    header.AcquisitionTime = f"{int(seconds // 3600):02d}{int(seconds // 60 % 60):02d}{seconds % 60:09.6f}"
    header.Modality, header.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M"]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    return header


def _set_pixels(header, image):
    header.Rows, header.Columns = image.shape[-2:]
    header.PixelData = image.tobytes()
    header["PixelData"].VR = "OW"


def _plane(header, place, tr_s):
    header.ImagePositionPatient = [f"{x:.9f}" for x in position_mm(place)]
    header.ImageOrientationPatient = [f"{x:.12f}" for x in (*ALONG_ROW, *ALONG_COLUMN)]
    header.PixelSpacing = [str(ROW_MM), str(COLUMN_MM)]
    header.SliceThickness = header.SpacingBetweenSlices = str(SLICE_MM)
    header.RepetitionTime, header.EchoTime = str(1e3 * tr_s), "30"


def csa_header(normal, n_slices):
    """Return a CSA image header of the second kind with the elements that a mosaic is read by."""

    def element(name, kind, values):
        items = [value.encode() + b"\0" for value in values]
        out = struct.pack("<64si4s3i", name.encode(), len(items), kind, 0, len(items), 77)
        for item in items:
            out += struct.pack("<4i", len(item), len(item), 77, len(item)) + item + bytes(-len(item) % 4)
        return out

    elements = [
        element("AcquisitionMatrixText", b"SH\0\0", [f"{ROWS}*{COLUMNS}"]),
        element("NumberOfImagesInMosaic", b"US\0\0", [str(n_slices)]),
        element("SliceNormalVector", b"FD\0\0", [f"{x:.8f}" for x in normal]),
    ]
    return b"SV10\4\3\2\1" + struct.pack("<2I", len(elements), 77) + b"".join(elements)


def mosaic(number, *, uid=UID, series=13, tr_s=TR_S, reverse=False, csa=True):
    """Return a Siemens mosaic of five slices in three by three tiles; `reverse` stacks against the normal."""
    header = _header(number, MRImageStorage, uid, tr_s)
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    header.Manufacturer, header.SeriesNumber = "SIEMENS", series
    header.AcquisitionNumber = header.InstanceNumber = number
    stored = pixels(number)[::-1] if reverse else pixels(number)
    tiles = np.zeros((3 * ROWS, 3 * COLUMNS), dtype=np.uint16)
    for place, tile in enumerate(stored):
        row, column = ROWS * (place // 3), COLUMNS * (place % 3)
        tiles[row : row + ROWS, column : column + COLUMNS] = tile
    _plane(header, SLICES - 1 if reverse else 0, tr_s)
    # The position is that of a single image as large as the mosaic, about the same centre.
    centre = ALONG_ROW * COLUMN_MM * COLUMNS + ALONG_COLUMN * ROW_MM * ROWS
    shifted = np.array([float(x) for x in header.ImagePositionPatient]) - centre
    header.ImagePositionPatient = [f"{x:.9f}" for x in shifted]
    _set_pixels(header, tiles)
    if csa:
        block = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_header(-NORMAL if reverse else NORMAL, SLICES))
    return _bytes(header)


def slices(number, vendor, *, n_slices=SLICES, told=True, uid=UID, tr_s=TR_S, echo_ms="30"):
    """Return the files of one volume, a file a slice; with ``told=False`` none says how many slices there are."""
    out = []
    for place, image in enumerate(pixels(number, n_slices)):
        header = _header(number if vendor == "siemens" else 1, MRImageStorage, uid, tr_s)
        header.InstanceNumber = (number - 1) * n_slices + place + 1
        header.AcquisitionNumber = number if vendor == "siemens" else 1
        _plane(header, place, tr_s)
        header.EchoTime = echo_ms
        if vendor == "ge":
            header.Manufacturer = "GE MEDICAL SYSTEMS"
            if told:
                header.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", n_slices)
        elif vendor == "philips":
            header.Manufacturer = "Philips Medical Systems"
            header.TemporalPositionIdentifier, header.NumberOfTemporalPositions = number, 300
            header.RescaleSlope, header.RescaleIntercept = "2.5", "-10"
            header.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x18, "SL", n_slices)
        else:
            header.Manufacturer = "SIEMENS"
        _set_pixels(header, image)
        out.append(_bytes(header))
    return out


def enhanced(numbers, *, indexed=True, uid=UID, tr_s=TR_S, instance=None):
    """Return an enhanced multi-frame file; `indexed` says in each frame which volume it is of."""
    header = _header(numbers[0], EnhancedMRImageStorage, uid, tr_s)
    header.InstanceNumber = numbers[0] if instance is None else instance
    header.NumberOfFrames = SLICES * len(numbers)
    shared, orientation, measures, timing, transform = (Dataset() for _ in range(5))
    orientation.ImageOrientationPatient = [f"{x:.12f}" for x in (*ALONG_ROW, *ALONG_COLUMN)]
    measures.PixelSpacing, measures.SliceThickness = [str(ROW_MM), str(COLUMN_MM)], str(SLICE_MM)
    timing.RepetitionTime = 1e3 * tr_s
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = "0.5", "3", "normal"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.MRTimingAndRelatedParametersSequence, shared.PixelValueTransformationSequence = (
        [timing],
        [transform],
    )
    header.SharedFunctionalGroupsSequence = [shared]
    stack, moment = Dataset(), Dataset()
    stack.DimensionIndexPointer, moment.DimensionIndexPointer = 0x00209057, 0x00209128
    header.DimensionIndexSequence = [stack, moment]
    frames = []
    for volume, number in enumerate(numbers, 1):
        for place in range(SLICES):
            frame, content, position = Dataset(), Dataset(), Dataset()
            content.InStackPositionNumber, content.DimensionIndexValues = place + 1, [place + 1, volume]
            content.FrameAcquisitionDateTime = f"202601021200{(number - 1) * tr_s:09.6f}"
            if indexed:
                content.TemporalPositionIndex = number
            position.ImagePositionPatient = [f"{x:.9f}" for x in position_mm(place)]
            frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
            frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    _set_pixels(header, np.concatenate([pixels(number) for number in numbers]))
    return _bytes(header)


def nifti(number, *, n_volumes=0, tr_s=TR_S, shape=(8, 6, 5), packed=False, shift_mm=0.0):
    """Return a NIfTI file of one volume, or of `n_volumes`."""
    shape = (*shape, n_volumes) if n_volumes else shape
    data = np.random.default_rng(number).integers(1, 4000, shape).astype(np.int16)
    affine = np.array([[-3.0, 0, 0, 90 + shift_mm], [0, 3.5, 0, -70], [0, 0, 4, -40], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = tr_s
    image.header.set_slope_inter(0.5, 2.0)
    content = image.to_bytes()
    return gzip.compress(content) if packed else content


class Scanner:
    """A folder that is watched: time passes only while the watch waits, and files are written at their times."""

    def __init__(self, folder: Path, **options):
        self.now_s = 100.0
        self.told = []
        self.items = []
        self._due = []
        self.folder = folder
        self.watch = FolderWatch(
            folder,
            clock=lambda: self.now_s,
            tell=lambda kind, text: self.told.append((kind, text)),
            wait=self._pass,
            **options,
        )

    def at(self, time_s, name, content):
        """Have a file written at a time of the clock, counted from 100 s."""
        self._due.append((100.0 + time_s, len(self._due), name, content))

    def run(self, until_s):
        """Pull until a time of the clock, and keep what comes with the time at which it came."""
        self._write()
        while self.now_s < 100.0 + until_s:
            pulled = self.watch.pull(100.0 + until_s - self.now_s)
            self.items += [(self.now_s - 100.0, item) for item in pulled]

    @property
    def places(self):
        """What was handed on: a volume's place, or a lost one's as ``(first, n)``."""
        return [(i.first, i.n) if isinstance(i, LostVolumes) else i.number for _, i in self.items]

    @property
    def volumes(self):
        return [item for _, item in self.items if not isinstance(item, LostVolumes)]

    def kinds(self):
        return [kind for kind, _ in self.told]

    def _pass(self, seconds):
        # In steps of the poll, whatever the machine's own time made of the pause.
        self.now_s += min(seconds, 0.02)
        self._write()

    def _write(self):
        for due in sorted(due for due in self._due if due[0] <= self.now_s):
            self._due.remove(due)
            (self.folder / due[2]).write_bytes(due[3])
