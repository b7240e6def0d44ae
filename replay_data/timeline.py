"""Where the samples of a recording lie in a replay: gapless runs on one time line."""

from dataclasses import dataclass

from decode_stream.stream.recording import Recording, n_missing

__all__ = ["Run", "runs_of"]


@dataclass(frozen=True, slots=True)
class Run:
    """Samples [start, stop) without a gap between them; the first lies at `at` on the time line."""

    start: int
    stop: int
    at: int


def runs_of(recording: Recording, start: int, loop: bool) -> tuple[list[Run], int]:
    """Return the gapless pieces from `start` on, and the length of the time line with its gaps.

    A loop is played through breaks of unknown length as it is through its own end: it is there to keep a stream
    going, not to be scored.
    """
    breaks = [
        (gap.start, gap.n_lost if loop else n_missing(gap, recording.sfreq_hz))
        for gap in recording.gaps
        if start < gap.start < recording.n_samples
    ]
    runs, at, begin = [], 0, start
    for sample, n_lost in sorted(breaks):
        runs.append(Run(begin, sample, at))
        at += sample - begin + n_lost
        begin = sample
    runs.append(Run(begin, recording.n_samples, at))
    return runs, at + recording.n_samples - begin
