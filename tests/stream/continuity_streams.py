"""Simulated streams for the tests of continuity, and what comes out of them in short."""

from itertools import pairwise

import numpy as np

from decode_stream.stream.types import Chunk, Gap

START_S = 1e6


def stream(n, sfreq_hz=250.0, first=0):
    """Return samples that carry their number, and their stamps on a clean clock."""
    numbers = np.arange(first, first + n)
    data = np.stack([numbers, np.sin(numbers), np.cos(3 * numbers)], axis=1)
    return data, START_S + numbers / sfreq_hz


def feed(continuity, data, stamps_s, cuts=(), flush=True):
    """Admit samples cut at `cuts`; return chunks and gaps."""
    out = []
    edges = [0, *sorted(c for c in cuts if 0 < c < len(data)), len(data)]
    for start, stop in pairwise(edges):
        out += continuity.admit(data[start:stop], stamps_s[start:stop], arrived_s=0.0)
    return out + (continuity.flush() if flush else [])


def gaps_of(out):
    return [piece for piece in out if isinstance(piece, Gap)]


def emitted(out):
    """Return index and data of all samples, after checking that pieces follow on one another."""
    index, rows, at = [], [], 0
    for piece in out:
        assert piece.start == at
        at = piece.stop
        if isinstance(piece, Chunk):
            index += range(piece.start, piece.stop)
            rows.append(piece.data)
    return np.array(index, dtype=int), np.concatenate(rows) if rows else np.empty((0, 3))


def every(step, n):
    return range(step, n, step)


def packets(n, sfreq_hz, seed, size=12, latency_s=5e-3, worst_s=0.03, quantum_s=1e-3):
    """Return stamps as of a headband: packets with a latency of their own, in milliseconds."""
    rng = np.random.default_rng(seed)
    late = rng.normal(0, latency_s, -(-n // size))
    late[rng.random(len(late)) < 0.01] = worst_s
    late = np.clip(late, -worst_s, worst_s)
    late[-1] = 0.0  # of a last packet nobody could say whether the line would have been found again
    return np.round((START_S + np.arange(n) / sfreq_hz + np.repeat(late, size)[:n]) / quantum_s) * quantum_s
