"""How long the best five of large galleries take, beside the time to read the gallery once.

``OMP_NUM_THREADS=1 python -m benchmarks.gallery_size`` ranks an embedding among 73,000 and 1,000,000 entries of 768
numbers, drawn at random. What reads the gallery once is a search for its largest number: it writes nothing and computes
nothing that takes longer than the memory. By turns with it: the best five (`Candidates.best`), and the similarities to
all (`Candidates.similarity`).
"""

import sys

import numpy as np
from cyclopts import App

from decode_stream.bench_timing import peak_bytes, resident_bytes, timed
from decode_stream.decoders.candidates import Candidates
from decode_stream.free_memory import free_bytes

from .machine import load_1min, machine

__all__ = ["main"]

app = App(help="Measure how long the best five of large galleries take.")

_DIMENSION, _K = 768, 5
_READ = "read once"


def drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return entries at random, float32, without a second copy of them."""
    entries = np.empty((n, _DIMENSION), np.float32)
    for start in range(0, n, 10_000):
        part = entries[start : start + 10_000]
        rng.standard_normal(out=part, dtype=np.float32)
    return entries


def measure(n: int, seconds: float) -> None:
    """Print a row of the table for each thing that is done with a gallery."""
    needed, free = 4 * n * _DIMENSION, free_bytes()
    if free is not None and needed > 0.9 * free:
        print(f"{n:10,}  left out: it takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
        return
    rng = np.random.default_rng(0)
    entries = drawn(n, rng)
    candidates, embedding = Candidates(entries, "unit"), rng.standard_normal(_DIMENSION)
    before = resident_bytes()
    # Takes the lengths of all entries, once.
    places, _ = candidates.best(embedding, _K)
    everything = candidates.similarity(embedding[None])[0]
    if places.tolist() != np.argsort(-everything, kind="stable")[:_K].tolist():
        raise RuntimeError("The best five are not those of all similarities.")
    after = resident_bytes()
    found = timed(
        {
            _READ: entries.max,
            "best five": lambda: candidates.best(embedding, _K),
            "all similarities": lambda: candidates.similarity(embedding[None]),
        },
        seconds,
    )
    for name, times in found.items():
        share = times.p50_ms / found[_READ].p50_ms
        print(f"{n:10,}  {name:18}{times.p50_ms:9.1f}{times.p99_ms:9.1f}{share:8.2f}", flush=True)
    if before is not None and after is not None and (most := peak_bytes()) is not None:
        beside = (after - before) / 1e6
        print(
            f"{'':12}{needed / 1e9:.2f} GB of entries, {beside:.0f} MB beside them, {most / 1e9:.2f} GB at most"
        )


@app.default
def main(*, entries: tuple[int, ...] = (73_000, 1_000_000), seconds: float = 3.0) -> int:
    """Print the table.

    Parameters
    ----------
    entries
        Sizes of galleries.
    seconds
        Of each measurement; at least 20 calls.
    """
    for name, value in machine().items():
        print(f"{name}: {value}")
    print(f"\n{'entries':>10}  {'':18}{'p50 ms':>9}{'p99 ms':>9}{'x read':>8}")
    for n in entries:
        measure(n, seconds)
    print(f"load after: {load_1min():.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(app())
