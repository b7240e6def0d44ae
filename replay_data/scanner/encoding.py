"""DICOM files put together from parts: what is the same in many files is encoded once.

pydicom encodes every element; to encode the whole header of each of the 83 slices of a volume anew would take longer
than a scanner takes to measure them.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

__all__ = ["Encoded", "as_file", "encoded", "long_element", "sequence"]

#: Elements as bytes, by their tags.
Encoded: TypeAlias = dict[int, bytes]

_PREAMBLE = bytes(128) + b"DICM"
_ITEM = (0xFFFE, 0xE000)


def encoded(header: Dataset) -> Encoded:
    """Return each element of a dataset as bytes, explicit VR little endian."""
    parts: Encoded = {}
    for element in correct_ambiguous_vr(header, True):
        held = DicomBytesIO()
        held.is_little_endian, held.is_implicit_VR = True, False
        write_data_element(held, element)
        parts[int(element.tag)] = held.getvalue()
    return parts


def long_element(keyword: str, kind: bytes, content: bytes) -> Encoded:
    """Return an element whose length is told in 32 bits, as that of pixels is.

    Parameters
    ----------
    keyword : str
        Its name in DICOM.
    kind : bytes
        Its representation: OB, OW, SQ, ...
    content : bytes
        Made even by a zero, where it is not.
    """
    tag = Tag(keyword)
    content += bytes(len(content) % 2)
    return {int(tag): struct.pack("<HH2sHI", tag.group, tag.element, kind, 0, len(content)) + content}


def sequence(keyword: str, items: Iterable[Mapping[int, bytes]]) -> Encoded:
    """Return a sequence of items, each of encoded elements."""
    parts = []
    for item in items:
        content = _joined(item)
        parts.append(struct.pack("<HHI", *_ITEM, len(content)) + content)
    return long_element(keyword, b"SQ", b"".join(parts))


def as_file(sop_class: str, uid: str, *parts: Mapping[int, bytes]) -> bytes:
    """Return a DICOM file.

    Parameters
    ----------
    sop_class, uid : str
        What kind of image it is, and its own identifier.
    *parts : mapping of int to bytes
        Its elements; a later part replaces elements of one before.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    held = DicomBytesIO()
    write_file_meta_info(held, meta, enforce_standard=True)
    elements: Encoded = {}
    for part in parts:
        elements |= part
    return _PREAMBLE + held.getvalue() + _joined(elements)


def _joined(elements: Mapping[int, bytes]) -> bytes:
    """Return elements one behind the other, in the order that DICOM demands."""
    return b"".join(elements[tag] for tag in sorted(elements))
