"""A simulated subject of THINGS-MEG: written, inspected, replayed over LSL, and decoded as offline."""

from pathlib import Path

import pytest

from decode_stream.replay_data.open import inspect, open_recording

from .live_as_offline import decoded_live_as_offline, names_of, run

#: The last is left to be decoded; of the others each is held out once, and LDA needs three trials of each picture.
N_SESSIONS = 5


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "things-meg"
    assert run("simulate", "things-meg", "--out", out, "--sessions", N_SESSIONS) == 0
    return out


@pytest.fixture(scope="module")
def runs(subject: Path) -> list[Path]:
    return sorted(subject.glob("sub-BIGMEG1/ses-*/meg/*.ds"))


def tokens(runs: list[Path]) -> tuple[str, ...]:
    names = [channel.name for channel in open_recording(runs[0]).channels if channel.name.startswith("MRO")]
    lda = ("--modality", "meg", "--model", "lda", "--channels", ",".join(names[:4]))
    return (*lda, "--events", names_of(runs[0], 3))


@pytest.mark.slow
def test_what_is_written_is_sound(subject: Path, runs: list[Path]) -> None:
    assert inspect(subject).sound
    assert len(runs) == N_SESSIONS


@pytest.mark.lsl
@pytest.mark.slow
def test_runs_are_decoded_live_as_offline(runs: list[Path], tmp_path: Path) -> None:
    assert decoded_live_as_offline(tmp_path, runs[:-1], runs[-1], *tokens(runs), speed=5) == 3


@pytest.mark.lsl
@pytest.mark.slow
def test_trials_are_decoded_live_as_offline(subject: Path, runs: list[Path], tmp_path: Path) -> None:
    path = subject / "derivatives" / "preprocessed" / "preprocessed_P1-epo.fif"
    trials = open_recording(path)
    assert trials.epoch is not None
    assert trials.n_samples // trials.epoch.n_times == sum(len(open_recording(run).stimuli) for run in runs)
    assert decoded_live_as_offline(tmp_path, [path], path, *tokens(runs), speed=8) == 3 * N_SESSIONS
