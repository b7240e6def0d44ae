"""Mean and interval over decoders of several seeds and people."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from decode_stream.stream.types import FloatArray

from .measured import Curve, Matrix, Measured, Number
from .significance import flip_test

__all__ = ["joined", "mean_interval"]


def mean_interval(
    values: FloatArray, level: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean over the first axis with Student's interval.

    Parameters
    ----------
    values : array of shape (n, ...)
        n at least 2.

    Returns
    -------
    mean, low, high : array of shape (...)
    """
    n = len(values)
    mean = np.asarray(values.mean(axis=0), np.float64)
    half = t.ppf(0.5 + level / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def joined(parts: Sequence[Measured], people: Sequence[int], *, seed: int = 0) -> Measured:
    """Return what one protocol measured of several decoders, as one.

    Decoders of one person are averaged first, and the interval is over people, who are what a result should hold for.
    With one person it is over that person's decoders, and says nothing about other people.

    Parameters
    ----------
    parts : sequence of Measured
        Of the same protocol, at least 2.
    people : sequence of int
        Whose each of them is.
    seed : int
        Of sign flips, see `flip_test`.

    Returns
    -------
    Measured
        Numbers and curves that all parts have.

    Raises
    ------
    ValueError
        If there are fewer than two, or they differ in protocol or chance.
    """
    first = parts[0]
    if len(parts) < 2 or len({(part.protocol, part.k, part.chance, part.transductive) for part in parts}) > 1:
        raise ValueError("Two or more are joined, of one protocol and as many candidates.")
    different = sorted(set(people))
    over = len(different) if len(different) > 1 else len(parts)
    what = f"{over} subjects" if len(different) > 1 else f"{over} seeds of one subject"

    def each(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a row a person, or a row a decoder of the only one."""
        if len(different) == 1:
            return values
        return np.array([values[np.array(people) == person].mean(axis=0) for person in different])

    return replace(
        first,
        n=over,
        interval=f"t, over {what}",
        numbers=tuple(_numbers(parts, each, over)),
        curves=tuple(_curves(parts, each, seed)),
        matrix=_matrix(parts, each, seed),
        notes=(
            f"mean over {what}"
            + (f", {len(parts)} decoders in all" if len(parts) > over else "")
            + f"; {sum(part.n for part in parts)} trials or pictures in all",
        ),
        details={"each": [[number.value for number in part.numbers] for part in parts]},
    )


_Each = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _numbers(parts: Sequence[Measured], each: _Each, over: int) -> list[Number]:
    tables = [{number.name: number for number in part.numbers} for part in parts]
    found = []
    for name, number in tables[0].items():
        if not all(name in table for table in tables):
            continue
        mean, low, high = mean_interval(each(np.array([table[name].value for table in tables])))
        found.append(Number(name, float(mean), float(low), float(high), number.chance, over))
    return found


def _curves(parts: Sequence[Measured], each: _Each, seed: int) -> list[Curve]:
    tables = [{(curve.name, curve.x): curve for curve in part.curves} for part in parts]
    found = []
    for name, x in tables[0]:
        if not all((name, x) in table for table in tables):
            continue
        rows = each(np.array([table[name, x].y for table in tables]))
        # Only where neighbours were tested together before, is there anything to correct for.
        tested = parts[0].protocol == "latency"
        clusters = flip_test(rows, parts[0].chance, seed=seed).clusters(np.array(x)) if tested else ()
        found.append(Curve.of(name, np.array(x), *mean_interval(rows), clusters))
    return found


def _matrix(parts: Sequence[Measured], each: _Each, seed: int) -> Matrix | None:
    matrices = [part.matrix for part in parts if part.matrix is not None]
    if len(matrices) < len(parts) or len({matrix.rows for matrix in matrices}) > 1:
        return None
    rows = each(np.array([matrix.values for matrix in matrices]))
    test = flip_test(rows, parts[0].chance, seed=seed)
    return Matrix(
        matrices[0].rows,
        matrices[0].columns,
        tuple(tuple(float(value) for value in row) for row in rows.mean(axis=0)),
        tuple(tuple(bool(value) for value in row) for row in test.significant),
        test.clusters(np.array(matrices[0].rows)),
    )
