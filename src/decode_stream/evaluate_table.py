"""What protocols measured, as lines of text."""

from textwrap import fill

from decode_stream.decoders.scoring.measured import Measured

__all__ = ["NOT_LIVE", "print_measured"]

#: How numbers are labelled, wherever they are told, that use the whole test set.
NOT_LIVE = "TRANSDUCTIVE: not possible live"


def print_measured(measured: Measured) -> None:
    """Print what a protocol is, its numbers with chance, n and interval, and what must be known beside them."""
    print()
    if measured.transductive:
        print(f"{NOT_LIVE} ({measured.transductive})")
    print(fill(f"{measured.protocol}: {measured.says}", 118, subsequent_indent="  "))
    print(f"  repeats: {measured.repeats}; interval: {measured.interval}")
    width = max(len(number.name) for number in measured.numbers)
    for number in measured.numbers:
        print(
            f"  {number.name:<{width}}  {number.value:.3f}  (95 % {number.low:.3f} to {number.high:.3f}; "
            f"chance {number.chance:.3f}; n = {number.n})"
        )
    for note in measured.notes:
        print(fill(f"- {note}", 118, initial_indent="  ", subsequent_indent="    "))
