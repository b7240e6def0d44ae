"""What a paper's split of NSD leaves of recordings, in training and in evaluation."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from decode_stream.config import EvaluateConfig, NsdSplit, TrainConfig
from decode_stream.decoders.bundle import load_bundle
from decode_stream.evaluation.evaluate import evaluate_bundle
from decode_stream.replay_data.nsd.design import design_trials
from decode_stream.replay_data.nsd.splits import SPLITS, Part, split_recording
from decode_stream.replay_data.nsd.write_design import write_design
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.replay_data.simulation.simulate_nsd import simulate_nsd_design
from decode_stream.stream.errors import UsageError
from decode_stream.training.nsd_split import check_split, training_parts
from decode_stream.training.train import train_bundle

from ..decoders.bundles import edit_manifest
from .fmri_labs import betas, fmri_bundle, looks

#: Of eight pictures the last four are shared ones.
N, N_TRAIN = 8, 4
NAMES = tuple(f"p{i}" for i in range(N))
#: Pictures of all people in a small experiment of NSD's form.
N_SEEN = 2000


@pytest.fixture
def sessions(tmp_path: Path) -> list[Path]:
    """Return betas of the sessions 1, 2 and 38."""
    paths = []
    for number in (1, 2, 38):
        shown = np.random.default_rng(number).permutation(np.repeat(np.arange(N), 6))
        split = np.where(shown < N_TRAIN, "train", "test")
        session = np.full(len(shown), number)
        path = tmp_path / f"session{number:02d}.recording"
        paths.append(betas(path, shown, looks(N), noise=1.0, seed=number, session=session, split=split))
    return paths


def test_every_split_can_be_asked_for() -> None:
    assert get_args(NsdSplit) == tuple(SPLITS)


def test_a_training_sees_nothing_of_what_the_split_tests_on(
    sessions: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.bundle"
    events = ",".join(f"{i}=p{i}" for i in range(N_TRAIN))
    config = TrainConfig(modality="fmri", model="ridge", nsd_split="mindeye", events=events, out=out)
    assert train_bundle(sessions, config) == 0
    said = capsys.readouterr()
    assert "ridge, 48 trials of 2 runs" in said.out
    assert "The split mindeye uses none of session38" in said.err
    assert "By the split mindeye, 24 of 48 trials are trained on." in said.err
    manifest = load_bundle(out).manifest
    assert manifest.training.asked["nsd-split"] == "mindeye"
    # Not even the level of the voxels is told from what is tested on.
    rows = []
    for path in sessions[:2]:
        recording = open_recording(path)
        rows.append(recording.read(0, recording.n_samples)[np.asarray(recording.stimuli.id) < N_TRAIN])
    np.testing.assert_allclose(manifest.chain.center, np.median(np.concatenate(rows), axis=0), atol=1e-6)
    with pytest.raises(
        UsageError, match=r"--nsd-split mindeye trains on none of these 1 recordings: sessions 1 to 37"
    ):
        train_bundle(
            sessions[2:], TrainConfig(modality="fmri", nsd_split="mindeye", events=events, out=tmp_path / "y")
        )
    with pytest.raises(UsageError, match="which are of --modality fmri"):
        TrainConfig(modality="eeg", nsd_split="mindeye", out=out)


def evaluated(
    sessions: list[Path], bundle: Path, split: NsdSplit | None, capsys: pytest.CaptureFixture[str]
) -> tuple[str, dict]:
    out = bundle.with_suffix(".json")
    assert evaluate_bundle(sessions, EvaluateConfig(bundle=bundle, nsd_split=split, json=out)) == 0
    return " ".join(capsys.readouterr().out.split()), json.loads(out.read_text())


def test_only_what_the_split_tests_on_is_scored(
    sessions: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fmri_bundle(tmp_path / "b.bundle", NAMES, looks(N))
    text, told = evaluated(sessions, bundle, "mindeye", capsys)
    assert told["accuracy"]["n"] == 2 * 24
    assert {row["stimulus"] for row in told["per_trial"]} == set(range(N_TRAIN, N))
    (note,) = told["notes"]
    assert note.startswith("of NSD's trials only those are scored that mindeye tests on (sessions 1 to 37")
    assert "1 of 3 recordings hold none of them" in text
    assert evaluated(sessions, bundle, "mindeye2", capsys)[1]["accuracy"]["n"] == 3 * 24
    assert evaluated(sessions, bundle, None, capsys)[1]["accuracy"]["n"] == 3 * 48
    with pytest.raises(
        UsageError, match=r"mindeye tests on no trial of these 1 recordings: sessions 1 to 37"
    ):
        evaluated(sessions[2:], bundle, "mindeye", capsys)
    edit_manifest(bundle, modality="eeg")
    with pytest.raises(UsageError, match="'b' is not of fMRI"):
        evaluated(sessions, bundle, "mindeye", capsys)


def test_a_recording_that_was_trained_on_is_held_out_by_the_same_split(
    sessions: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(split: str | None) -> Path:
        name = f"{split}.bundle"
        bundle = fmri_bundle(
            tmp_path / name, NAMES, looks(N), asked={} if split is None else {"nsd-split": split}
        )
        training = json.loads((bundle / "bundle.json").read_text())["training"]
        edit_manifest(bundle, training=training | {"fingerprints": [fingerprint(path) for path in sessions]})
        return bundle

    assert "NOT HELD OUT" not in evaluated(sessions, made("mindeye2"), "mindeye", capsys)[0]
    # Without a split the trials that were trained on are scored too.
    assert (
        "NOT HELD OUT: the decoder was trained on session01"
        in evaluated(sessions, tmp_path / "mindeye2.bundle", None, capsys)[0]
    )
    text, _ = evaluated(sessions, made("mind-reader"), "mindeye", capsys)
    assert (
        "NOT HELD OUT: trained on the split mind-reader, and mindeye tests on pictures of that training"
        in text
    )
    assert (
        "NOT HELD OUT: the decoder was trained on session01"
        in evaluated(sessions, made(None), "mindeye", capsys)[0]
    )
    # Other recordings may show the same pictures again.
    new = fmri_bundle(tmp_path / "new.bundle", NAMES, looks(N))
    assert (
        "NOT HELD OUT: trained without --nsd-split, and may know pictures that mindeye tests on"
        in evaluated(sessions, new, "mindeye", capsys)[0]
    )
    assert "NOT HELD OUT" not in evaluated(sessions, new, None, capsys)[0]
    check_split(load_bundle(tmp_path / "mindeye2.bundle").manifest, "mindeye", "")
    check_split(load_bundle(tmp_path / "None.bundle").manifest, None, "")
    for split in ("mind-reader", None):
        with pytest.raises(UsageError, match="may know pictures that mindeye tests on"):
            check_split(load_bundle(tmp_path / f"{split}.bundle").manifest, "mindeye", "")


def of_two_people(root: Path) -> dict[str, Path]:
    """Write all sessions of somebody who has 40, and of somebody who has 30."""
    design = simulate_nsd_design(40, n_runs=1, n_slots=32)
    write_design(root, design, np.arange(1, int(design.subjectim.max()) + 1), [1, 4])
    paths = {}
    for number in (1, 4):
        path = root / f"nsddata_betas/ppdata/subj{number:02d}/of{number}.recording"
        path.parent.mkdir(parents=True)
        table = design_trials(design, number).table
        shown = np.asarray(table.id)
        betas(path, shown, looks(N_SEEN), noise=1.0, seed=number, session=table.session, split=table.split)
        paths[f"subj{number:02d}"] = path
    return paths


def test_what_is_tested_on_of_a_person_is_not_learnt_from_others(tmp_path: Path) -> None:
    paths = of_two_people(tmp_path)
    recordings = {person: open_recording(path) for person, path in paths.items()}

    def shown(person: str, part: Part) -> set[int]:
        found = split_recording(recordings[person], paths[person], "mind-reader", part)
        assert found is not None
        return set(np.asarray(found.stimuli.id).tolist())

    for subject, other in (("subj04", "subj01"), ("subj01", "subj04")):
        tested = shown(subject, "test")
        # Of the one with fewer sessions the last pictures come early in the other's.
        assert bool(tested & shown(other, "train")) == (subject == "subj04")
        _, parts = training_parts(list(paths.values()), list(recordings.values()), "mind-reader", subject)
        learnt = dict(zip(paths, parts, strict=True))
        for part in parts:
            assert not tested & set(np.asarray(part.stimuli.id).tolist())
        assert set(np.asarray(learnt[subject].stimuli.id).tolist()) == shown(subject, "train")
        assert set(np.asarray(learnt[other].stimuli.id).tolist()) == shown(other, "train") - tested
        told = any("more would be, but for what they show" in note for note in learnt[other].notes)
        assert told == (subject == "subj04")


def test_a_split_by_appearance_holds_out_for_as_many_sessions_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = of_two_people(tmp_path)
    names = [f"p{i}" for i in range(N_SEEN)]
    bundle = fmri_bundle(tmp_path / "r.bundle", names, looks(N_SEEN), asked={"nsd-split": "mind-reader"})
    training = json.loads((bundle / "bundle.json").read_text())["training"]
    edit_manifest(bundle, training=training | {"subjects": ["subj01"]})
    begun = load_bundle(bundle).manifest
    assert "NOT HELD OUT" not in evaluated([paths["subj01"]], bundle, "mind-reader", capsys)[0]
    text, _ = evaluated([paths["subj04"]], bundle, "mind-reader", capsys)
    assert "mind-reader tests on pictures of that training of subj04" in text
    check_split(begun, "mind-reader", "subj01")
    check_split(begun, "mind-reader", "subj02")
    for subject in ("subj04", ""):
        with pytest.raises(
            UsageError, match=r"trained with --nsd-split mind-reader for subj01, and may know"
        ):
            check_split(begun, "mind-reader", subject)
