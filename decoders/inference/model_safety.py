"""What is refused of a network before anything runs it: it may have come from anybody.

ONNX Runtime reads a file in full trust: it follows the names of data files, allocates what tensors claim, and looks for
operators by their domain. Field numbers are those of ``onnx.proto`` (https://github.com/onnx/onnx, IR version 13). What
a network computes is not judged here: one that asks for more memory than there is fails when it is warmed up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, prod

from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel
from decode_stream.stream.errors import BundleError

from .protobuf_fields import MalformedError, fields, varints

__all__ = ["check_model"]

#: Operators that come with ONNX Runtime; every other domain needs a library of somebody's.
_DOMAINS = frozenset((b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"))
#: A node that holds, or names the file of, what a provider compiled: machine code that nothing checks.
_COMPILED = b"EPContext"

_MOST_GRAPH_BYTES = 2**31 - 1  # of protobuf
_MOST_DATA_BYTES = 2**36
_MOST_NODES = 100_000
_MOST_TENSORS = 100_000
#: Graphs within graphs, as in the branches of an If.
_DEEPEST = 8

#: Bits of an element by TensorProto.DataType: float to uint64, bool to bfloat16, float8, (u)int4, float4, ...
_BITS = (
    {
        1: 32,
        2: 8,
        3: 8,
        4: 16,
        5: 16,
        6: 32,
        7: 64,
        9: 8,
        10: 16,
        11: 64,
        12: 32,
        13: 64,
        14: 64,
        15: 128,
        16: 16,
    }
    | dict.fromkeys(range(17, 21), 8)
    | {21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
)
_STRING = 8
_EXTERNAL = 1


def check_model(model: OnnxModel) -> None:
    """Refuse a network that reaches beyond itself, or that is out of all bounds.

    Refused are operators of domains that ONNX Runtime does not bring along and graphs compiled for a device; tensors in
    other files than the one beside the graph, or outside of it; tensors that claim other sizes than their bytes have;
    and files, numbers of nodes and tensors, and nesting above bounds that no real network comes near.

    Raises
    ------
    BundleError
        Which says what was found.
    """
    if len(model.graph) > _MOST_GRAPH_BYTES or len(model.data) > _MOST_DATA_BYTES:
        raise _refused(f"its files have {len(model.graph)} and {len(model.data)} bytes")
    # ONNX Runtime would take this for its own format, whatever else it is.
    if model.graph[4:8] == b"ORTM":
        raise _refused("it is in ONNX Runtime's own format; only ONNX is read")
    check = _Check(len(model.data))
    try:
        check.model(memoryview(model.graph))
    except MalformedError as error:
        raise BundleError(f"The network is no ONNX file, or a damaged one: {error}. Copy it again.") from None


def _refused(why: str) -> BundleError:
    return BundleError(f"The network is refused: {why}.")


@dataclass(slots=True)
class _Check:
    """Counts what has been seen of one model."""

    n_data_bytes: int
    n_nodes: int = 0
    n_tensors: int = 0

    def model(self, message: memoryview) -> None:
        n_graphs = 0
        for number, value in fields(message):
            if number == 7:
                n_graphs += 1
                self._graph(_bytes(value), 1)
            elif number == 8:
                self._opset(_bytes(value))
            elif number == 20:
                raise _refused("it holds a part that trains it")
            elif number == 25:
                self._function(_bytes(value))
        # Protobuf would merge several, so that none of them is what was looked at.
        if n_graphs != 1:
            raise MalformedError(f"it holds {n_graphs} graphs")

    def _opset(self, message: memoryview) -> None:
        for number, value in fields(message):
            if number == 1:
                _check_domain(_bytes(value))

    def _function(self, message: memoryview) -> None:
        for number, value in fields(message):
            if number == 7:
                self._node(_bytes(value), 1)
            elif number == 9:
                self._opset(_bytes(value))
            elif number == 10:
                _check_domain(_bytes(value))
            elif number == 11:
                self._attribute(_bytes(value), 1)

    def _graph(self, message: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise _refused(f"its graphs lie more than {_DEEPEST} deep in each other")
        within: dict[int, Callable[[memoryview], None]] = {
            1: lambda node: self._node(node, depth),
            5: self._tensor,
            15: self._sparse,
        }
        for number, value in fields(message):
            if number in within:
                within[number](_bytes(value))

    def _node(self, message: memoryview, depth: int) -> None:
        self.n_nodes += 1
        if self.n_nodes > _MOST_NODES:
            raise _refused(f"it has more than {_MOST_NODES} nodes")
        for number, value in fields(message):
            if number == 4 and bytes(_bytes(value)) == _COMPILED:
                raise _refused("it was compiled for a device; export it as plain ONNX")
            if number == 5:
                self._attribute(_bytes(value), depth)
            elif number == 7:
                _check_domain(_bytes(value))

    def _attribute(self, message: memoryview, depth: int) -> None:
        seen = set[int]()
        for number, value in fields(message):
            if number in (5, 6, 22):
                if number in seen:
                    raise MalformedError("an attribute holds two values")
                seen.add(number)
            if number in (5, 10):
                self._tensor(_bytes(value))
            elif number in (6, 11):
                self._graph(_bytes(value), depth + 1)
            elif number in (22, 23):
                self._sparse(_bytes(value))

    def _sparse(self, message: memoryview) -> None:
        for number, value in fields(message):
            if number in (1, 2):
                self._tensor(_bytes(value))
            elif number == 3:
                # Written out in full it may be as large as it likes: none of the networks here needs one.
                raise _refused("it holds sparse tensors")

    def _tensor(self, message: memoryview) -> None:
        self.n_tensors += 1
        if self.n_tensors > _MOST_TENSORS:
            raise _refused(f"it has more than {_MOST_TENSORS} tensors")
        dims, kind, name = list[int](), 0, b""
        n_raw, n_listed, external, entries = 0, 0, False, list[memoryview]()
        for number, value in fields(message):
            if number == 1:
                dims += varints(value)
            elif number == 2:
                kind = _integer(value)
            elif number == 8:
                name = bytes(_bytes(value)[:100])
            elif number == 9:
                n_raw = len(_bytes(value))
            elif number in (4, 5, 6, 7, 10, 11):
                n_listed += 1 if isinstance(value, int) or number == 6 else len(value)
            elif number == 13:
                entries.append(_bytes(value))
            elif number == 14:
                external = _integer(value) == _EXTERNAL
        said = f"its tensor {name.decode('utf-8', 'replace')!r}"
        n = _n_elements(dims, said)
        n_bytes = ceil(n * _BITS.get(kind, 8) / 8)
        if kind not in _BITS and kind != _STRING:
            raise _refused(f"{said} is of the unknown type {kind}")
        if external or entries:
            self._outside(entries, n_bytes, said)
        # Numbers that are listed take a byte at least, and four of the smallest may share one.
        elif n_bytes != n_raw and not (n_raw == 0 and n <= 4 * n_listed):
            raise _refused(f"{said} claims {n_bytes} bytes and has {n_raw or n_listed}")

    def _outside(self, entries: Iterable[memoryview], n_bytes: int, said: str) -> None:
        """Check where a tensor lies that is not in the graph."""
        told = dict[bytes, bytes]()
        for entry in entries:
            pair = {number: bytes(_bytes(value)[:1000]) for number, value in fields(entry)}
            key = pair.get(1, b"")
            if key in told:
                raise _refused(f"{said} says its {key.decode('utf-8', 'replace')!r} twice")
            told[key] = pair.get(2, b"")
        place = told.get(b"location", b"")
        if place != DATA_FILE.encode():
            where = place.decode("utf-8", "replace")[:100]
            raise _refused(f"{said} lies in the file {where!r}, and only {DATA_FILE!r} may hold any")
        offset = _decimal(told.get(b"offset", b"0"), said)
        length = _decimal(told[b"length"], said) if b"length" in told else n_bytes
        if length != n_bytes or offset + length > self.n_data_bytes:
            raise _refused(
                f"{said} claims {n_bytes} bytes and lies at {offset} to {offset + length} of {self.n_data_bytes}"
            )


def _n_elements(dims: Iterable[int], said: str) -> int:
    dims = tuple(dims)
    if len(dims) > 32 or any(length < 0 for length in dims):
        raise _refused(f"{said} has the shape {dims[:32]}")
    return prod(dims)


def _check_domain(domain: memoryview) -> None:
    name = bytes(domain[:100])
    if name not in _DOMAINS:
        raise _refused(
            f"it needs operators of {name.decode('utf-8', 'replace')!r}, which are not part of ONNX Runtime; libraries "
            "of operators are never loaded"
        )


def _decimal(text: bytes, said: str) -> int:
    if not (0 < len(text) <= 20 and text.isdigit()):
        raise _refused(f"{said} lies at {text.decode('utf-8', 'replace')[:30]!r}")
    return int(text)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise MalformedError("a number where a message should be")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise MalformedError("bytes where a number should be")
    return value
