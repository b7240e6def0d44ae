"""What the time stamps of a recorded stream tell: its sampling rate, and where samples are missing."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, Gap

__all__ = ["USUAL_RATES_HZ", "find_gaps", "measured_sfreq", "sample_places"]

#: Rates that amplifiers are set to; a measured rate this near one of them means it.
USUAL_RATES_HZ = (
    *(50.0, 100.0, 125.0, 128.0, 160.0, 200.0, 220.0, 240.0, 250.0, 256.0, 300.0, 1000 / 3, 400.0, 500.0),
    *(508.63, 512.0, 600.0, 625.0, 678.17, 1000.0, 1017.25, 1024.0, 1200.0, 2000.0, 2048.0, 2400.0, 2500.0),
    *(4000.0, 4096.0, 4800.0, 5000.0, 8192.0, 9600.0, 10000.0, 16384.0, 20000.0, 25000.0, 30000.0),
)
_SNAP = 0.002

#: Longest pause that counts as lost samples; a longer one is another recording in the same file.
_LONGEST_LOSS_S = 10.0


def measured_sfreq(stamps_s: FloatArray) -> float:
    """Return the sampling rate that the stamps stand for.

    The median time over a fixed number of samples is robust to jitter, to chunks that share a stamp, and to a
    few gaps.

    Parameters
    ----------
    stamps_s : array of shape (n_samples,), float64
        Time stamps in seconds, in the order of the samples.

    Returns
    -------
    float
        The nearest usual rate within 0.2 %, else the measured one to 0.01 Hz.

    Raises
    ------
    RecordingError
        If there are fewer than two stamps, or they do not advance.
    """
    lag = min(max(1, len(stamps_s) // 16), 4096)
    period_s = float(np.median(stamps_s[lag:] - stamps_s[:-lag])) / lag if len(stamps_s) > 1 else 0.0
    if period_s <= 0:
        raise RecordingError(f"A sampling rate needs time stamps that advance; these {len(stamps_s)} do not.")
    measured_hz = 1 / period_s
    nearest_hz = min(USUAL_RATES_HZ, key=lambda rate_hz: abs(rate_hz - measured_hz))
    if abs(nearest_hz - measured_hz) <= _SNAP * nearest_hz:
        return nearest_hz
    return round(measured_hz, 2)


def find_gaps(stamps_s: FloatArray, sfreq_hz: float) -> tuple[Gap, ...]:
    """Return where samples are missing: where the stamps step and stay late.

    Jitter delays a few stamps and is made up for; a loss delays all that follow. So a long step counts only
    if the median lateness of the second after it exceeds that of the second before it by 0.6 samples and by
    more than it varies by in the recording.

    Parameters
    ----------
    stamps_s : array of shape (n_samples,), float64
        Time stamps in seconds, in the order of the samples.
    sfreq_hz : float
        Sampling rate.

    Returns
    -------
    tuple of Gap
        By sample; `start` counts the samples that are there, `time_s` counts from the first stamp. A step of
        more than 10 s, or a fall back in time, is a ``reset``.
    """
    n = len(stamps_s)
    late_s = stamps_s - stamps_s[0] - np.arange(n) / sfreq_hz
    width = max(1, round(sfreq_hz))
    margin = max(1, width // 4)  # with fewer samples than this, a loss cannot be told from jitter
    least_s = _least_shift(late_s, width, margin, sfreq_hz)

    steps_s = np.diff(late_s)
    suspects = np.flatnonzero(np.abs(steps_s) > least_s / 2) + 1
    gaps = []
    # The longest step first: once it is taken out, what remains around it is judged on its own.
    for at in suspects[np.argsort(-np.abs(steps_s[suspects - 1]), kind="stable")]:
        if min(at, n - at) < margin:
            continue
        if _shift(late_s, int(at), width) > least_s:
            # Jitter may step higher than a short loss nearby.
            near = suspects[(np.abs(suspects - at) < width) & (np.minimum(suspects, n - suspects) >= margin)]
            at = near[np.argmax(_departure(late_s, int(at), width)[near - max(0, int(at) - width) - 1])]
        shift_s = _shift(late_s, int(at), width)
        n_lost = round(shift_s * sfreq_hz)
        if least_s < shift_s <= _LONGEST_LOSS_S:
            late_s[at:] -= n_lost / sfreq_hz
        elif shift_s > _LONGEST_LOSS_S or shift_s < -max(least_s, 1.0):
            late_s[at:] -= shift_s
            n_lost = 0
        else:
            continue
        kind = "loss" if n_lost else "reset"
        gaps.append(Gap(int(at), n_lost, kind, float(stamps_s[at] - stamps_s[0])))
    return tuple(sorted(gaps, key=lambda gap: gap.start))


def _least_shift(late_s: FloatArray, width: int, margin: int, sfreq_hz: float) -> float:
    """Return the smallest shift that jitter does not explain.

    Judged by lower quartiles and medians over the recording, which few gaps leave alone.
    """
    places = range(margin, len(late_s) - margin + 1, max(1, len(late_s) // 500))
    if not places:
        return 0.6 / sfreq_hz
    shifts_s = [abs(_shift(late_s, at, width)) for at in places]
    spreads_s = [np.subtract(*np.quantile(late_s[max(0, at - width) : at], (0.75, 0.25))) for at in places]
    # The lower quartile of a normal distribution's size is 0.32 standard deviations. Where a chunk of samples
    # shares a stamp, medians hop by a fraction of the chunk.
    return max(
        0.6 / sfreq_hz,
        6 / 0.32 * float(np.quantile(shifts_s, 0.25)),
        0.3 * float(np.median(spreads_s)),
    )


def _departure(late_s: FloatArray, at: int, width: int) -> FloatArray:
    """Return how far the summed lateness around `at` has departed from its mean: most where its level changes."""
    around = late_s[max(0, at - width) : at + width]
    departure: FloatArray = np.abs(np.cumsum(around - around.mean()))
    return departure


def _shift(late_s: FloatArray, at: int, width: int) -> float:
    """Return by how much the samples from `at` on are later than those before it."""
    return float(np.median(late_s[at : at + width]) - np.median(late_s[max(0, at - width) : at]))


def sample_places(
    times_s: FloatArray, stamps_s: FloatArray, sfreq_hz: float, gaps: Sequence[Gap]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the sample nearest to each time, by the line that the stamps lie on, and how far behind it the time is.

    Between resets the device samples on one grid, through losses too, so that one line fits the stamps of all samples
    there and their jitter averages out.

    Parameters
    ----------
    times_s : array of shape (n_times,), float64
        Times on the stamps' clock.
    stamps_s : array of shape (n_samples,), float64
        Time stamps in seconds, in the order of the samples.
    sfreq_hz : float
        Sampling rate.
    gaps : sequence of Gap
        As `find_gaps` returns them.

    Returns
    -------
    places : array of shape (n_times,), int64
        -1 for a time before the first sample, after the last, or where samples are missing. A time that occurred twice,
        because the clock was set back, means the later one.
    behind : array of shape (n_times,), float64
        In samples, from -0.5 to 0.5; 0 where there is none.
    """
    places, behind = np.full(len(times_s), -1, dtype=np.int64), np.zeros(len(times_s))
    resets = [gap.start for gap in gaps if gap.kind == "reset"]
    for begin, end in pairwise((0, *resets, len(stamps_s))):
        grid = np.arange(end - begin)
        for gap in gaps:
            if gap.kind == "loss" and begin < gap.start < end:
                grid[gap.start - begin :] += gap.n_lost
        mine_s = stamps_s[begin:end] - stamps_s[begin]
        slope_s, level_s = (
            np.polyfit(grid, mine_s, 1) if end - begin > 2 else (1 / sfreq_hz, float(mine_s[0]))
        )
        exact = (times_s - stamps_s[begin] - level_s) / slope_s
        wanted = np.floor(exact + 0.5)
        at = np.minimum(np.searchsorted(grid, wanted), len(grid) - 1)
        here = grid[at] == wanted
        places[here] = begin + at[here]
        behind[here] = (exact - wanted)[here]
    return places, behind
