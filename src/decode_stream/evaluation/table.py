"""What protocols measured, as lines of text."""

from collections.abc import Sequence
from textwrap import fill

from decode_stream.decoders.scoring.measured import Cluster, Matrix, Measured
from decode_stream.decoders.scoring.significance import ALPHA

from .evaluation import p_text

__all__ = ["NOT_LIVE", "print_measured", "print_notes"]

#: How numbers are labelled, wherever they are told, that use the whole test set.
NOT_LIVE = "TRANSDUCTIVE: not possible live"


def print_measured(measured: Measured) -> None:
    """Print what a protocol is, its numbers with chance, n and interval, and what must be known beside them."""
    print()
    if measured.transductive:
        print(f"{NOT_LIVE} ({measured.transductive})")
    print(fill(f"{measured.protocol}: {measured.says}", 118, subsequent_indent="  "))
    print(f"  repeats: {measured.repeats}; interval: {measured.interval}")
    width = max((len(number.name) for number in measured.numbers), default=0)
    for number in measured.numbers:
        print(
            f"  {number.name:<{width}}  {number.value:.3f}  (95 % {number.low:.3f} to {number.high:.3f}; "
            f"chance {number.chance:.3f}; n = {number.n})"
        )
    for curve in measured.curves:
        if curve.clusters:
            print(f"  {curve.name}: above chance {_above_chance(curve.clusters)}")
    if measured.matrix is not None:
        print(
            f"  above chance: {sum(map(sum, measured.matrix.significant))} of {_n_points(measured.matrix)} points"
        )
    print_notes(measured.notes)


def print_notes(notes: Sequence[str]) -> None:
    """Print what must be known beside the numbers above."""
    for note in notes:
        print(fill(f"- {note}", 118, initial_indent="  ", subsequent_indent="    "))


def _above_chance(clusters: Sequence[Cluster]) -> str:
    """Return from when to when, on the axis of latencies in ms."""
    sound = [cluster for cluster in clusters if cluster.p < ALPHA]
    spans = [f"from {c.first:.0f} to {c.last:.0f} ms (p {p_text(c.p)})" for c in sound]
    return ", ".join(spans) or f"nowhere (smallest p {p_text(min(cluster.p for cluster in clusters))})"


def _n_points(matrix: Matrix) -> int:
    return len(matrix.rows) * len(matrix.columns)
