"""What an evaluation measured, in values that a table, a JSON file and a figure are made from."""

from dataclasses import dataclass, field
from typing import Any

from decode_stream.stream.types import FloatArray

__all__ = ["Cluster", "Curve", "Matrix", "Measured", "Number"]


@dataclass(frozen=True)
class Number:
    """One score.

    Attributes
    ----------
    name : str
        What was scored, in a few words.
    value, low, high : float
        With its 95 % interval.
    chance : float
        What somebody reaches who knows nothing.
    n : int
        What the value is a mean over: trials, pictures, or evaluations.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float
    n: int


@dataclass(frozen=True)
class Cluster:
    """Neighbouring points above chance, tested together.

    Attributes
    ----------
    p : float
        Corrected for all points that were looked at.
    mass : float
        Sum of the statistic over its points.
    n_points : int
    first, last : float
        Where it begins and ends: of a curve on its x axis, of a matrix on the axis of its rows.
    """

    p: float
    mass: float
    n_points: int
    first: float
    last: float


@dataclass(frozen=True)
class Curve:
    """Scores along an axis, with pointwise 95 % intervals.

    Attributes
    ----------
    clusters : tuple of Cluster
        All that were found, by place; those that count have a p below 0.05.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    clusters: tuple[Cluster, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        x: FloatArray,
        y: FloatArray,
        low: FloatArray,
        high: FloatArray,
        clusters: tuple[Cluster, ...] = (),
    ) -> "Curve":
        """Return the curve that arrays of shape (n_points,) give."""
        return cls(name, _numbers(x), _numbers(y), _numbers(low), _numbers(high), clusters)


def _numbers(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@dataclass(frozen=True)
class Matrix:
    """Scores over two latencies.

    Attributes
    ----------
    rows, columns : tuple of float
        Latencies of what was learned, and of what was decoded [s].
    values : tuple of tuple of float
        ``values[i][j]``: learned at rows[i], tested at columns[j].
    significant : tuple of tuple of bool
        Points that lie in a cluster with a p below 0.05.
    clusters : tuple of Cluster
    """

    rows: tuple[float, ...]
    columns: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    significant: tuple[tuple[bool, ...], ...]
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What one protocol measured.

    Attributes
    ----------
    protocol : str
        Its name.
    says : str
        What it is, in a sentence.
    k : int
        Candidates that the truth is picked from.
    repeats : str
        How many showings each decision rests on.
    chance : float
    n : int
        Trials, or pictures where these were scored.
    interval : str
        How the intervals were made.
    numbers : tuple of Number
        The first one is what the protocol is about.
    curves : tuple of Curve
    matrix : Matrix or None
    x_name : str
        What the curves' x axis counts, with its unit.
    notes : tuple of str
        What a reader must know beside it.
    details : dict of str to Any
        Further numbers, for scripts.
    transductive : str
        Which statistic of the test set was used; empty where none was, as it must be live.
    """

    protocol: str
    says: str
    k: int
    repeats: str
    chance: float
    n: int
    interval: str
    numbers: tuple[Number, ...]
    curves: tuple[Curve, ...] = ()
    matrix: Matrix | None = None
    x_name: str = ""
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    transductive: str = ""
