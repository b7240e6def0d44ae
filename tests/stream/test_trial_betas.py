"""Betas of single trials: when each is told, from which volumes and trials, and what is told of it afterwards."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.run_glm import RunGlm
from decode_stream.stream.fmri.trial_betas import TrialBeta, TrialBetas, decision_volumes, shows_something

TR_S, N_VOXELS, N = 2.0, 6, 60
SPEC = GlmSpec(stimulus_s=2.0, decide_s=8.0, support_s=16.0, confounds=("a",), noise="ols")
ONSETS = [6, 9, 12, 20, 21, 30, 54, 58]


def run(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 100 + rng.standard_normal((N, N_VOXELS)).cumsum(axis=0), rng.standard_normal((N, 1))


def play(
    betas: TrialBetas, onsets: list[int], lost: tuple[int, ...] = (), behind: int = 0, *, refine: bool = True
) -> list[TrialBeta]:
    """Play the run; each trial is told `behind` volumes after its onset's own."""
    volumes, confounds = run()
    told = []
    for i in range(N):
        for number, onset in enumerate(onsets):
            if onset + behind == i and (late := betas.add_trial(number, onset)) is not None:
                told.append(late)
        told += betas.skip() if i in lost else betas.add(volumes[i], confounds[i], refine=refine)
    return told


def of_state(told: list[TrialBeta], state: str) -> dict[int, TrialBeta]:
    return {beta.trial: beta for beta in told if beta.state == state}


def so_far(n: int, trials: list[int], which: int, lost: tuple[int, ...] = ()) -> np.ndarray:
    """Return the beta of a trial by the first `n` volumes, with these trials in the model."""
    volumes, confounds = run()
    glm = RunGlm(SPEC, N_VOXELS, TR_S, N)
    for onset in trials:
        glm.add_trial(onset)
    for i in range(n):
        if i in lost:
            glm.skip()
        else:
            glm.add(volumes[i], confounds[i])
    return glm.betas([trials.index(which)]).value[0]


def test_a_trial_is_decided_by_the_volumes_of_its_moment_and_the_trials_begun() -> None:
    told = of_state(play(TrialBetas(SPEC, N_VOXELS, TR_S, N), ONSETS), "decided")
    # The last is not decided when the run ends.
    assert {n: beta.stop for n, beta in told.items()} == {n: ONSETS[n] + 4 for n in range(7)}
    for number, beta in told.items():
        begun = [onset for onset in ONSETS if onset < beta.stop - 1]
        expected = so_far(beta.stop, begun, ONSETS[number])
        np.testing.assert_allclose(beta.value, expected, rtol=1e-5)
        assert (beta.variance > 0).all()


def test_trials_to_come_and_when_they_are_told_change_nothing() -> None:
    early = play(TrialBetas(SPEC, N_VOXELS, TR_S, N), ONSETS, behind=0)
    late = play(TrialBetas(SPEC, N_VOXELS, TR_S, N), ONSETS, behind=1)
    ahead = TrialBetas(SPEC, N_VOXELS, TR_S, N)
    for number, onset in enumerate(ONSETS):
        ahead.add_trial(number, onset)
    for other in (late, play(ahead, [])):
        assert len(other) == len(early)
        for one, two in zip(early, other, strict=True):
            assert (one.trial, one.state, one.stop) == (two.trial, two.state, two.stop)
            np.testing.assert_allclose(one.value, two.value, rtol=1e-6)
    fewer = of_state(play(TrialBetas(SPEC, N_VOXELS, TR_S, N), ONSETS[:3]), "decided")
    all_told = of_state(early, "decided")
    np.testing.assert_array_equal(fewer[2].value, all_told[2].value)


def test_a_trial_is_refined_with_each_volume_until_its_response_is_over_and_final_at_the_end() -> None:
    betas = TrialBetas(SPEC, N_VOXELS, TR_S, N)
    told = play(betas, ONSETS)
    stops = [beta.stop for beta in told if beta.trial == 3 and beta.state == "refined"]
    assert stops == list(range(20 + 5, 20 + 9 + 1))  # (2 s + 16 s) / 2 s volumes from the onset on
    newest = [beta for beta in told if beta.trial == 3][-1]
    np.testing.assert_allclose(newest.value, so_far(29, ONSETS[:5], 20), rtol=1e-5)
    final = {beta.trial: beta for beta in betas.finish()}
    assert {beta.state for beta in final.values()} == {"final"}
    assert set(final) == set(range(len(ONSETS)))
    np.testing.assert_allclose(final[0].value, so_far(N, ONSETS, 6), rtol=1e-5)
    # Where volumes wait, only the last word on each trial is worked out.
    quiet = play(TrialBetas(SPEC, N_VOXELS, TR_S, N), ONSETS, refine=False)
    assert of_state(quiet, "decided").keys() == of_state(told, "decided").keys()
    last = of_state(quiet, "refined")
    assert len([beta for beta in quiet if beta.state == "refined"]) == len(last) == 6
    np.testing.assert_array_equal(last[3].value, newest.value)


def test_what_cannot_be_told_at_its_moment_is_withheld_with_the_reason() -> None:
    told = play(TrialBetas(SPEC, N_VOXELS, TR_S, N), [0, 6])
    withheld = of_state(told, "withheld")
    assert {n: (beta.stop, beta.reason) for n, beta in withheld.items()} == {0: (4, "too few volumes")}
    # Decided after one volume, before any of its response is there.
    at_once = play(TrialBetas(replace(SPEC, decide_s=1.0), N_VOXELS, TR_S, N), [20])
    assert (at_once[0].state, at_once[0].stop) == ("withheld", 21)


def test_lost_volumes_leave_moments_where_they_are() -> None:
    lost = (21, 22, 27)
    betas = TrialBetas(SPEC, N_VOXELS, TR_S, N)
    told = of_state(play(betas, ONSETS, lost), "decided")
    assert told[3].stop == 24
    np.testing.assert_allclose(told[3].value, so_far(24, ONSETS[:5], 20, lost), rtol=1e-5)
    assert (betas.n_volumes, betas.n_lost) == (N, 3)


def test_a_marker_that_comes_late_is_withheld_then_refined() -> None:
    told = play(TrialBetas(SPEC, N_VOXELS, TR_S, N), [20], behind=6)
    assert (told[0].state, told[0].reason) == ("withheld", "its marker came after its moment")
    refined = of_state(told, "refined")[0]
    np.testing.assert_allclose(refined.value, so_far(refined.stop, [20], 20), rtol=1e-5)
    assert not of_state(told, "decided")
    betas = TrialBetas(SPEC, N_VOXELS, TR_S, N)
    (gone,) = play(betas, [20], behind=30)
    assert gone.reason == "its marker came after its response"
    assert betas.finish() == []


def test_moments_are_whole_volumes() -> None:
    spec = replace(SPEC, decide_s=7.0)
    assert [decision_volumes(spec, tr_s) for tr_s in (2.0, 2.9, 100.0)] == [4, 3, 1]
    # With the first volume that ends 7 s after the onset or later: 3.5 volumes of 2 s.
    assert [decision_volumes(spec, 2.0, onset) for onset in (10, 10.4, 10.5, 10.51)] == [14, 14, 14, 15]
    # A repetition time of 4/3 s, written with few digits, makes no volume more of 8 s.
    assert [decision_volumes(replace(SPEC, decide_s=8.0), tr_s, 9) for tr_s in (1.3333, 4 / 3)] == [15, 15]
    # Not before a volume has come behind the nearest to the onset.
    assert [decision_volumes(replace(SPEC, decide_s=0.2), 2.0, onset) for onset in (3.4, 3.6)] == [4, 5]


def test_onsets_between_volumes_and_durations_are_those_of_the_model() -> None:
    volumes, confounds = run()
    spec = replace(SPEC, own_durations=True)
    for asked, lasting_s in ((spec, 6.0), (SPEC, SPEC.stimulus_s)):
        betas, told = TrialBetas(asked, N_VOXELS, TR_S, N), list[TrialBeta]()
        glm = RunGlm(asked, N_VOXELS, TR_S, N)
        for number, (onset, duration_s) in enumerate([(20.35, 6.0), (30.6, None)]):
            betas.add_trial(number, onset, duration_s)
        glm.add_trial(20.35, lasting_s)
        for volume, beside in zip(volumes[:25], confounds, strict=False):
            told += betas.add(volume, beside)
            glm.add(volume, beside)
        # 8 s behind 20.35 volumes of 2 s: within the volume that ends at 25.
        (decided,) = of_state(told, "decided").values()
        assert decided.stop == 25
        np.testing.assert_allclose(decided.value, glm.betas([0]).value[0], rtol=1e-5)
        assert np.abs(decided.value - so_far(25, [20], 20)).max() > 1e-2
    # A response that goes on for longer is refined for longer.
    longer = TrialBetas(spec, N_VOXELS, TR_S, N)
    longer.add_trial(0, 20.35, 6.0)
    refined = [beta.stop for beta in play(longer, []) if beta.state == "refined"]
    assert refined == list(range(26, 21 + 11 + 1))  # (6 s + 16 s) / 2 s


@pytest.mark.parametrize(
    ("label", "shown"), [("face", True), ("Rest", False), (" n/a ", False), ("17", True)]
)
def test_a_marker_of_rest_shows_nothing(label: str, shown: bool) -> None:
    assert shows_something(label) is shown
