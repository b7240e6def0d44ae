"""Tensors that are too many for one ONNX file, laid end to end beside it."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

__all__ = ["MOST_INSIDE_BYTES", "laid_outside"]

#: Protobuf writes no more than 2 GiB; the graph itself needs some of it.
MOST_INSIDE_BYTES = 2_000_000_000
#: Shapes and axes stay inside, where the runtime looks for them.
_SMALL_BYTES = 1024


def laid_outside(tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, int], bytes]:
    """Return the offset of each tensor that is to lie outside the graph, and what lies there.

    Parameters
    ----------
    tensors : mapping of str to array
        All numbers of a graph, by name.

    Returns
    -------
    offsets : dict of str to int
        Bytes; empty where all of them together are at most `MOST_INSIDE_BYTES`.
    data : bytes
    """
    if sum(tensor.nbytes for tensor in tensors.values()) <= MOST_INSIDE_BYTES:
        return {}, b""
    offsets, parts, at = dict[str, int](), list[bytes](), 0
    for name, tensor in tensors.items():
        if tensor.nbytes > _SMALL_BYTES:
            offsets[name] = at
            parts.append(tensor.tobytes())
            at += tensor.nbytes
    return offsets, parts[0] if len(parts) == 1 else b"".join(parts)
