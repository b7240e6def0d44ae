"""A recording of volumes as betas: channels, order, markers and stimuli, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.fmri.beta_recording import beta_recording, holds_betas, whole_run
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.trial_betas import TrialBetas
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap

TR_S, N = 2.0, 80
SPEC = GlmSpec(stimulus_s=2.0, decide_s=8.0, confounds=("rot_x",), noise="ols")
ONSETS = (10, 16, 22, 30, 38, 46, 54, 78)
LABELS = ("a", "b", "rest", "a", "b", "c", "a", "b")


def run(gaps: tuple[Gap, ...] = ()) -> ArrayRecording:
    rng = np.random.default_rng(0)
    values = np.hstack([100 + rng.standard_normal((N, 4)).cumsum(axis=0), rng.standard_normal((N, 1))])
    channels = (*(Channel(f"{i},0,0", "voxel") for i in range(4)), Channel("rot_x", "misc", "rad"))
    markers = tuple(zip(ONSETS, LABELS, strict=True))
    stimuli = StimulusTable(np.array(ONSETS), concept=np.array(LABELS), run=np.full(len(ONSETS), 3))
    data = values.astype(np.float32)
    return ArrayRecording(data, channels, 1 / TR_S, markers, gaps, "run", stimuli=stimuli)


def test_betas_stand_in_the_order_of_their_decisions_with_what_was_shown() -> None:
    made = beta_recording(run(), SPEC)
    assert holds_betas(made)
    assert (made.n_samples, made.name, made.sfreq_hz, made.gaps) == (6, "run", 0.5, ())
    assert made.onsets == (10, 16, 30, 38, 46, 54)
    assert made.markers == tuple(enumerate("ababca"))
    assert [(c.name, c.type, c.unit) for c in made.channels] == [(f"{i},0,0", "voxel", "%") for i in range(4)]
    np.testing.assert_array_equal(made.stimuli.onset, np.arange(6))
    assert made.stimuli.concept is not None
    assert made.stimuli.concept.tolist() == list("ababca")
    assert made.stimuli.run is not None
    assert "1 trials without a beta: 1 not decided at the end of the run." in made.notes
    np.testing.assert_array_equal(made.read(2, 5), made.values[2:5])
    signal = beta_recording(run(), replace(SPEC, percent=False), sfreq_hz=0.25)
    assert (signal.channels[0].unit, signal.sfreq_hz) == ("", 0.25)


def test_volumes_whose_level_was_taken_off_make_no_betas_in_percent() -> None:
    whole = run()
    voxels = whole.data[:, :4]
    centred = replace(whole, data=np.hstack([voxels - voxels.mean(axis=0) - 0.1, whole.data[:, 4:]]))
    with pytest.raises(RecordingError, match="run: 100 % of the voxels have a mean below 0"):
        beta_recording(centred, SPEC)
    assert beta_recording(centred, replace(SPEC, percent=False)).n_samples == 6


def test_betas_of_responses_that_overlap_say_so() -> None:
    apart, shared = (beta_recording(run(), replace(SPEC, decide_s=at_s)).epoch for at_s in (8.0, 16.0))
    assert apart == Epoch(1, 0, in_order=True)
    # The trials at volumes 10 and 16 are decided by volumes up to 18 and 24.
    assert shared == Epoch(1, 0, in_order=True, shared=2)


def test_betas_are_those_of_the_live_session() -> None:
    recording = run()
    glm = TrialBetas(SPEC, 4, TR_S, N)
    trials = [(onset, label) for onset, label in recording.markers if label != "rest"]
    decided = []
    for i, row in enumerate(recording.data):
        for number, (onset, _) in enumerate(trials):
            if onset == i:
                glm.add_trial(number, onset)
        decided += [beta.value for beta in glm.add(row[:4], row[4:]) if beta.state == "decided"]
    np.testing.assert_array_equal(beta_recording(recording, SPEC).values, decided)


def test_onsets_between_volumes_and_durations_go_into_the_model() -> None:
    whole = run()
    fraction, lasting_s = np.array([0.35, -0.4, 0, 0.204, 0, 0, 0, 0]), np.full(len(ONSETS), 5.0)
    lasting_s[3] = np.nan
    timed = replace(whole, stimuli=replace(whole.stimuli, fraction=fraction, duration_s=lasting_s))
    spec = replace(SPEC, own_durations=True)
    made = beta_recording(timed, spec)
    assert made.onsets == (10.35, 15.6, 30.2, 38, 46, 54)
    assert made.stimuli.fraction is None
    glm, decided = TrialBetas(spec, 4, TR_S, N), []
    for number, (onset, label) in enumerate(zip((10.35, 15.6, 0, 30.2, *ONSETS[4:]), LABELS, strict=True)):
        if label != "rest":
            glm.add_trial(number, onset, None if number == 3 else 5.0)
    for row in whole.data:
        decided += [beta.value for beta in glm.add(row[:4], row[4:]) if beta.state == "decided"]
    np.testing.assert_array_equal(made.values, decided)
    assert np.abs(made.values - beta_recording(whole, SPEC).values).max() > 0.01
    # All last for the spec's time where that is asked for.
    short = beta_recording(timed, SPEC).values
    assert np.abs(made.values - short).max() > 0.01
    untold = replace(timed, stimuli=replace(timed.stimuli, duration_s=None))
    np.testing.assert_array_equal(beta_recording(untold, spec).values, short)
    chosen_for = whole_run(timed, spec)
    assert list(chosen_for.onsets) == [10.35, 15.6, 30.2, 38, 46, 54, 78]
    assert chosen_for.lasting_s == [5, 5, 2, 5, 5, 5, 5]


def test_two_of_a_kind_in_one_volume_are_two_trials() -> None:
    whole = run()
    markers = ((10, "a"), (10, "a"), (30, "b"))
    table = StimulusTable(np.array([10, 10, 30]), fraction=np.array([-0.4, 0.4, 0.0]))
    assert beta_recording(replace(whole, markers=markers, stimuli=table), SPEC).onsets == (9.6, 10.4, 30)
    plain = replace(whole, markers=markers, stimuli=StimulusTable(table.onset))
    assert beta_recording(plain, SPEC).onsets == (10, 30)


def test_gaps_and_offsets_move_onsets_in_time() -> None:
    gap = Gap(20, 3, "loss", 0.0)
    made = beta_recording(run((gap,)), SPEC)
    assert made.onsets == (10, 16, 33, 41, 49, 57)
    assert "3 of 83 volumes are missing or hold values that are not numbers." in made.notes
    np.testing.assert_array_equal(made.values[:2], beta_recording(run((gap,)), SPEC).values[:2])
    assert beta_recording(run(), SPEC, marker_offset_s=0.5).onsets == (
        10.25,
        16.25,
        30.25,
        38.25,
        46.25,
        54.25,
    )
    later = beta_recording(run(), SPEC, marker_offset_s=4.0)
    assert later.onsets == (12, 18, 32, 40, 48, 56)
    np.testing.assert_array_equal(later.stimuli.onset, np.arange(6))


def test_recordings_that_give_no_betas_are_refused() -> None:
    whole = run()
    with pytest.raises(RecordingError, match=r"lacks 1 confounds of the model: rot_y.*mean 'rot_x'.*mcflirt"):
        beta_recording(whole, replace(SPEC, confounds=("rot_y",)))
    with pytest.raises(RecordingError, match="holds betas already"):
        beta_recording(replace(whole, epoch=Epoch(1, 0, in_order=True)), SPEC)
    with pytest.raises(RecordingError, match="was cut into trials"):
        beta_recording(replace(whole, epoch=Epoch(8, 0, in_order=True)), SPEC)
    eeg = tuple(replace(channel, type="eeg") for channel in whole.channels)
    with pytest.raises(RecordingError, match="has no voxels"):
        beta_recording(replace(whole, channels=eeg), SPEC)
    holes = whole.data.copy()
    holes[10:60, 2] = np.nan
    with pytest.raises(RecordingError, match=r"50 of 80 volumes .* in 2,0,0; .*--mask"):
        beta_recording(replace(whole, data=holes), SPEC)
    late = replace(whole, markers=((79, "a"),))
    with pytest.raises(RecordingError, match="no trial of 1 has a beta: 1 not decided at the end of the run"):
        beta_recording(late, SPEC)
