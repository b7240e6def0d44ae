"""What an export came to, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export.comparison import Comparison, Network

__all__ = ["Row", "print_table"]


@dataclass(frozen=True, slots=True)
class Row:
    """A network that was exported.

    Attributes
    ----------
    file : str
        What was written.
    before, after : int
        Bytes; `before` is 0 where it was no file.
    error, cosine, kept : str
        In words.
    """

    network: str
    file: str
    before: int
    after: int
    error: str = ""
    cosine: str = ""
    kept: str = ""

    @classmethod
    def of(cls, network: Network, model: OnnxModel, found: Comparison, *, file: str, kept: str = "") -> "Row":
        """Return the row of a network that was compared."""
        error = f"{found.error:.2g}"
        cosine = "" if found.cosine is None else f"{found.cosine:.5f}"
        return cls(network.name, file, _size(network.model), _size(model), error, cosine, kept)

    @classmethod
    def of_engine(cls, network: Network, engine: Path) -> "Row":
        """Return the row of a network that an engine was built of."""
        return cls(network.name, engine.name, _size(network.model), engine.stat().st_size)


def _size(model: OnnxModel) -> int:
    return len(model.graph) + len(model.data)


def print_table(rows: Sequence[Row]) -> None:
    """Print what became of each network; columns that say nothing are left out."""
    columns = {
        "network": [row.network for row in rows],
        "before": [_megabytes(row.before) for row in rows],
        "after": [_megabytes(row.after) for row in rows],
        "largest difference": [row.error for row in rows],
        "least cosine": [row.cosine for row in rows],
        "nodes in float32": [row.kept for row in rows],
    }
    told = {name: cells for name, cells in columns.items() if any(cells)}
    table = Table(*told, box=None, pad_edge=False)
    for cells in zip(*told.values(), strict=True):
        table.add_row(*cells)
    Console().print(table)


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes else ""
