"""Siemens's own header inside DICOM, the CSA header of numaris 4 (``SV10``), in which a mosaic says what it is.

The form is known from what reads it, nibabel and dcm2niix, and from real images: ``SV10``, four bytes 4 3 2 1, the
number of tags, 77; a tag is its name in 64 bytes, its multiplicity, its representation in 4 bytes, that representation
as a number, the number of its items, 77; an item is its length, twice, 77, its length, and text to a boundary of 4.
"""

import struct
from collections.abc import Mapping

__all__ = ["CSA_TYPES", "write_csa"]

#: The numbers under which the CSA header knows DICOM's representations.
CSA_TYPES = {"DS": 3, "FD": 4, "IS": 6, "US": 10, "LO": 19, "SH": 22, "UT": 27}
_MARK, _MARK_EMPTY = 77, 205
#: Tags with a value have room for so many items, or a multiple.
_ITEMS = 6


def write_csa(tags: Mapping[str, tuple[str, tuple[str, ...]]]) -> bytes:
    """Return a CSA header.

    Parameters
    ----------
    tags : mapping of str to (str, tuple of str)
        By name, the representation (a key of `CSA_TYPES`) and the values as text; a tag without values is one that the
        image does not say.
    """
    parts = [b"SV10\4\3\2\1", struct.pack("<2I", len(tags), _MARK)]
    for name, (kind, values) in tags.items():
        n_items = -(-len(values) // _ITEMS) * _ITEMS
        mark = _MARK if values else _MARK_EMPTY
        parts.append(
            struct.pack(
                "<64si4s3i", name.encode(), max(1, len(values)), kind.encode(), CSA_TYPES[kind], n_items, mark
            )
        )
        for value in values:
            text = value.encode() + b"\0"
            parts.append(struct.pack("<4i", len(text), len(text), _MARK, len(text)))
            parts.append(text + bytes(-len(text) % 4))
        parts += [struct.pack("<4i", 0, 0, _MARK_EMPTY, 0)] * (n_items - len(values))
    return b"".join(parts)
