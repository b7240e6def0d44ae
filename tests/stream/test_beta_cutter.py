"""Volumes out of the ring: the same betas however they come, and what of a stream is no volume."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.epochs import play_into
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.fmri.beta_cutter import BetaCutter, decision_schedule, volume_chain
from decode_stream.stream.fmri.beta_recording import beta_recording
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.running_scale import RunningScale
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Chunk, Gap, Marker, StreamInfo
from decode_stream.stream.window_chain import WindowSpec

N, N_VOXELS, RATE_HZ = 60, 5, 0.5
SPEC = GlmSpec(stimulus_s=2.0, decide_s=8.0, support_s=8.0, confounds=("rot_x",), noise="ols", percent=False)
NAMES = tuple(f"{i},0,0" for i in range(N_VOXELS))
#: The stream has its channels in another order than the decoder.
CHANNELS = (Channel("rot_x", "misc", "rad"), *(Channel(name, "voxel") for name in reversed(NAMES)))
CHAIN = ChainSpec(NAMES, ("",) * N_VOXELS, RATE_HZ, center=(1.0,) * N_VOXELS, scale=(2.0,) * N_VOXELS)
MARKERS = ((10, "a"), (14, "other"), (18, "b"), (26, "a"), (30, "rest"), (36, "b"))


def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    voxels = 50 + rng.standard_normal((N, N_VOXELS)).cumsum(axis=0)
    return np.hstack([rng.standard_normal((N, 1)), voxels[:, ::-1]]).astype(np.float32)


def cutter(running: RunningScale | None = None, spec: GlmSpec = SPEC) -> BetaCutter:
    info = StreamInfo("scanner", "FMRI", "", "", CHANNELS, RATE_HZ)
    trials = Trials(decision_schedule(spec, RATE_HZ), 1, {"a": 0, "b": 1, "rest": 2})
    ingest = Ingest(info, volume_chain(spec, NAMES, info))
    return BetaCutter(ingest, spec, CHAIN, WindowSpec(clamp=5.0), trials, N, running)


def play(
    made: BetaCutter, step: int, data: np.ndarray | None = None, gap: Gap | None = None
) -> tuple[list[CutWindow], list[CutWindow]]:
    """Feed volumes, `step` at once, and return what was decided and what was revised last."""
    data = values() if data is None else data
    decided, revised = list[CutWindow](), dict[int, CutWindow]()
    waiting = list(MARKERS)
    for start in range(0, N, step):
        if gap is not None and start == gap.start:
            made.ingest.take([gap])
        stop = min(N, start + step)
        made.ingest.take([Chunk(made.ingest.next_sample, data[start:stop], 0.0)])
        while waiting and waiting[0][0] < stop:
            at, label = waiting.pop(0)
            made.trials.add(Marker(float(at), label, 0.0))
        made.trials.place(lambda time: made.ingest.place(int(time)), made.ingest.ring.stop)
        decided += made.locked()
        revised |= {w.locked.trial.number: w for w in made.revised() if w.locked is not None}
    return decided, [revised[number] for number in sorted(revised)]


@pytest.mark.parametrize("scale", [None, 3])
def test_betas_do_not_depend_on_how_volumes_come(scale: int | None) -> None:
    def running() -> RunningScale | None:
        return None if scale is None else RunningScale(N_VOXELS, scale)

    one, one_revised = play(cutter(running()), 1)
    assert [w.locked.trial.label for w in one if w.locked] == ["a", "b", "a", "rest", "b"]
    assert [w.stop for w in one] == [14, 22, 30, 34, 40]
    early = "" if scale is None else "warm-up"
    assert [w.reason for w in one[:3]] == [early, "", ""]
    assert one[3].reason.startswith("its marker shows nothing")
    for step in (4, 7, N):
        other, revised = play(cutter(running()), step)
        for mine, theirs in zip(one, other, strict=True):
            assert mine.reason == theirs.reason
            if mine.data is not None and theirs.data is not None:
                np.testing.assert_array_equal(mine.data, theirs.data)
        assert len(revised) == len(one_revised) > 0
        for mine, theirs in zip(one_revised, revised, strict=True):
            assert mine.data is not None
            assert theirs.data is not None
            assert mine.revises == "refined"
            np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("fraction", [-0.5, -0.3, 0.3, 0.49])
def test_betas_of_onsets_between_volumes_are_those_of_a_recording(fraction: float) -> None:
    shown = [(at, label) for at, label in MARKERS if label != "rest"]
    table = StimulusTable(
        np.array([at for at, _ in shown]),
        fraction=np.full(len(shown), fraction),
        duration_s=np.full(len(shown), 4.0),
    )
    recording = ArrayRecording(values(), CHANNELS, RATE_HZ, tuple(shown), stimuli=table)
    for decide_s in (7.0, 8.0):  # whole volumes, and a half
        spec = replace(SPEC, decide_s=decide_s, own_durations=True)
        expected = beta_recording(recording, spec, voxels=NAMES)
        made = cutter(spec=spec)
        decided = [w for _ in play_into(made.ingest, recording, made.trials) for w in made.locked()]
        after = int(np.ceil(fraction + decide_s * RATE_HZ))
        assert [w.stop for w in decided] == [at + after for at, label in shown if label != "other"]
        places = [i for i, (_, label) in enumerate(expected.markers) if label != "other"]
        for window, beta in zip(decided, expected.values[places], strict=True):
            assert window.data is not None
            np.testing.assert_allclose(window.data[:, 0], np.clip((beta - 1) / 2, -5, 5), rtol=1e-6)


def test_a_beta_goes_through_the_chain_in_the_order_of_the_decoder() -> None:
    made = cutter()
    decided, _ = play(made, 1)
    plain = cutter()
    plain_values = values()
    (beta,) = [b for b in _betas(plain, plain_values) if b[0] == 22]
    window = decided[1]
    assert window.data is not None
    np.testing.assert_allclose(window.data[:, 0], np.clip((beta[1] - 1) / 2, -5, 5), rtol=1e-5)
    assert {w.revises for w in made.finish()} == {"final"}
    assert len(made.finish()) == 4
    assert made.free() == []
    assert made.withheld_for.total() == 1


def _betas(made: BetaCutter, data: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return stop and value of what the model decides on voxels in the decoder's order."""
    for number, (at, label) in enumerate(MARKERS):
        if label != "rest":
            made.betas.add_trial(number, at)
    told = [beta for row in data for beta in made.betas.add(row[:0:-1], row[:1])]
    return [(beta.stop, beta.value) for beta in told if beta.state == "decided"]


def test_lost_volumes_and_values_that_are_no_numbers_are_left_out_of_the_model() -> None:
    data = values()
    data[20, 3] = np.nan
    made = cutter()
    play(made, 1, data, Gap(24, 2, "loss", 0.0))
    assert (made.betas.n_volumes, made.betas.n_lost) == (N + 2, 3)
    assert made.longer


def test_a_marker_before_the_first_volume_has_no_beta() -> None:
    made = cutter()
    made.ingest.take([Chunk(0, values(), 0.0)])
    made.trials.add(Marker(-2.0, "a", 0.0))
    made.trials.place(int, made.ingest.ring.stop)
    (window,) = made.locked()
    assert window.data is None
    assert "before the run" in window.reason
