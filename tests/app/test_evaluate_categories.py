"""What is in the picture that was seen: from annotations on the disk to areas under ROC curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from decode_stream.cli import app
from decode_stream.evaluation.picture_categories import open_categories
from decode_stream.replay_data.nsd.design import STIM_INFO
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.pictures.coco_tables import coco_categories
from decode_stream.stream.errors import UsageError

from .fmri_labs import betas, fmri_bundle, looks, weights

N = 40


def kinds(embeddings: np.ndarray) -> list[list[str]]:
    """Return what is in each picture: animals on one side of the space, and one sort that is rare."""
    return [
        [
            *(["animal"] if row[0] > 0.3 else []),
            *(["sky"] if row[1] < 0 else []),
            *(["rare"] if row[2] > 1.9 else []),
        ]
        for row in embeddings
    ]


def write_instances(path: Path, of_number: dict[int, list[str]]) -> Path:
    names = ["animal", "sky", "rare"]
    path.write_text(
        json.dumps(
            {
                "images": [{"id": number, "file_name": "x"} for number in of_number],
                "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(names)],
                "annotations": [
                    {"image_id": number, "category_id": 7 + names.index(kind), "segmentation": [[1, 2]]}
                    for number, here in of_number.items()
                    for kind in (*here, *here[:1])
                ],
            }
        )
    )
    return path


def evaluate(capsys: pytest.CaptureFixture[str], out: Path, *tokens: object) -> tuple[str, dict[str, Any]]:
    words = ["evaluate", *map(str, tokens), "--protocol", "categories", "--json", str(out)]
    assert app(words, result_action="return_value") == 0
    told: dict[str, Any] = json.loads(out.read_text())["protocols"]["categories"]
    return " ".join(capsys.readouterr().out.split()), told


def test_categories_are_told_from_decoded_embeddings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, others = looks(N), looks(200, seed=11)
    names = [f"{100 + i:012d}" for i in range(N)]
    more = [f"{1000 + i:012d}" for i in range(200)]
    bundle = fmri_bundle(tmp_path / "test.bundle", names, shown)
    # A picture of the test among those to learn from is not learnt from.
    centres = fmri_bundle(tmp_path / "more.bundle", [*more, names[0]], np.concatenate([others, shown[:1]]))
    of_number = {100 + i: here for i, here in enumerate(kinds(shown))}
    write_instances(tmp_path / "instances_val2017.json", of_number)
    write_instances(tmp_path / "instances_train2017.json", {1000 + i: k for i, k in enumerate(kinds(others))})
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(N), 2))
    run = betas(tmp_path / "s.recording", order, shown, noise=2.0, seed=4)
    tokens = (run, "--bundle", bundle, "--centres", centres)
    text, told = evaluate(capsys, tmp_path / "x.json", *tokens, "--categories", tmp_path)
    values = {number["name"]: number for number in told["numbers"]}
    single, averaged, ceiling = (number["value"] for number in told["numbers"][:3])
    assert list(values)[:3] == [
        "mean AUC of 2 categories, single trials",
        "mean AUC of 2 categories, repeats averaged after the mapper",
        "mean AUC of 2 categories, of the pictures' own embeddings, the ceiling",
    ]
    assert 0.6 < single < averaged < ceiling
    assert "learnt from 200 pictures of the gallery of 'more'" in text
    assert "1 of 3 categories: rare" in text
    n_animals = sum("animal" in here for here in kinds(shown))
    animal = values[f"animal ({n_animals} of {N} pictures)"]
    assert animal["low"] <= animal["value"] <= animal["high"]
    # By hand: the mean decoded picture against the direction of the others that have it.
    recording = open_recording(run)
    said = recording.read(0, recording.n_samples) @ np.linalg.pinv(weights())
    mean = np.array([said[np.asarray(recording.stimuli.id) == i].mean(axis=0) for i in range(N)])

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    has = np.array(["animal" in here for here in kinds(others)])
    design = np.column_stack([unit(others), np.ones(200)])
    plain = np.linalg.lstsq(design, has.astype(float))[0][:-1]
    expected = roc_auc_score(["animal" in here for here in kinds(shown)], unit(mean) @ plain)
    assert animal["value"] == pytest.approx(expected, abs=0.02)
    assert told["details"]["categories"]["animal"]["pictures"] == n_animals
    # A table says the same; a picture that it lacks is left out and counted.
    rows = [
        f"{name},{kind}"
        for name, here in zip(names[1:], kinds(shown)[1:], strict=True)
        for kind in here or [""]
    ]
    rows += [
        f"{name},{kind}" for name, here in zip(more, kinds(others), strict=True) for kind in here or [""]
    ]
    (tmp_path / "kinds.csv").write_text("\n".join(["picture,category", *rows]))
    text, told = evaluate(capsys, tmp_path / "y.json", *tokens, "--categories", tmp_path / "kinds.csv")
    assert "left out, of unknown categories: 1 of the pictures shown" in text
    assert told["n"] == N - 1
    assert told["numbers"][2]["value"] == pytest.approx(ceiling, abs=0.05)


def test_concepts_are_categories_where_nothing_else_says_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = looks(60)
    pictures[::2, 0], pictures[1::2, 0] = 2, -2
    names = [f"{('cat', 'dog')[i % 2]}_{i:02d}s" for i in range(60)]
    bundle = fmri_bundle(tmp_path / "pets.bundle", names, pictures)
    run = betas(tmp_path / "s.recording", np.arange(30), pictures, noise=0.5, seed=1)
    text, told = evaluate(capsys, tmp_path / "x.json", run, "--bundle", bundle)
    assert "learnt from 30 pictures of the gallery of 'pets'" in text
    assert [number["name"] for number in told["numbers"][2:]] == [
        "cat (15 of 30 pictures)",
        "dog (15 of 30 pictures)",
    ]
    assert told["numbers"][0]["value"] > 0.95
    few = betas(tmp_path / "few.recording", np.arange(6), pictures, noise=0.5, seed=1)
    with pytest.raises(UsageError, match=r"none of 2 categories is in 8 of the 6 pictures shown"):
        evaluate(capsys, tmp_path / "x.json", few, "--bundle", bundle)
    every = betas(tmp_path / "all.recording", np.arange(60), pictures, noise=0.5, seed=1)
    with pytest.raises(
        UsageError, match="is known of 0 others in the gallery of 'pets'.*give a bundle.*--centres"
    ):
        evaluate(capsys, tmp_path / "x.json", every, "--bundle", bundle)


def test_pictures_of_nsd_go_by_its_own_numbers(tmp_path: Path) -> None:
    write_instances(tmp_path / "instances_train2017.json", {9: ["sky"], 10: []})
    of = open_categories(tmp_path / "instances_train2017.json", [])
    assert of("000000000009") == {"sky"}
    assert of("000000000010") == frozenset()
    assert of("000000000011") is None
    with pytest.raises(UsageError, match="nsd00003 goes by NSD's number.*nsd_stim_info_merged.csv"):
        of("nsd00003")
    table = tmp_path / "nsd" / STIM_INFO
    table.parent.mkdir(parents=True)
    table.write_text(",cocoId,cocoSplit,nsdId\n0,9,train2017,3\n1,10,train2017,4\n")
    betas_file = tmp_path / "nsd" / "nsddata_betas" / "betas_session01.hdf5"
    of = open_categories(tmp_path, [betas_file])
    assert (of("nsd00003"), of("nsd00004"), of("nsd00005")) == ({"sky"}, frozenset(), None)


def test_what_is_no_table_of_categories_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text('{"annotations": [{"image_id": 1, "caption": "a cat"}]}')
    with pytest.raises(UsageError, match=r"not a file of COCO categories such as instances_train2017\.json"):
        open_categories(tmp_path / "captions.json", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty holds no instances_\*\.json"):
        open_categories(tmp_path / "empty", [])
    for text, told in (
        ("a,b,c\n", "row 1 is 'a,b,c'"),
        ("picture,category\n", "holds no row"),
        ("", "holds no row"),
    ):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(UsageError, match=told):
            open_categories(tmp_path / "x.csv", [])
    with pytest.raises(UsageError, match="No such file"):
        open_categories(tmp_path / "none.csv", [])
    with pytest.raises(UsageError, match="No such file"):
        open_categories(tmp_path / "none.json", [])
    write_instances(tmp_path / "i.json", {9: ["sky"]})
    damaged = json.loads((tmp_path / "i.json").read_text()) | {"categories": []}
    (tmp_path / "i.json").write_text(json.dumps(damaged))
    with pytest.raises(UsageError, match="marks category 8 in picture 9"):
        coco_categories(tmp_path / "i.json")


def test_a_missing_learner_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = fmri_bundle(tmp_path / "pets.bundle", ["cat_01s", "dog_01s"], looks(2))
    monkeypatch.setattr("decode_stream.evaluation.measure_categories.find_spec", lambda name: None)
    words = ["evaluate", str(tmp_path / "no.recording"), "--bundle", str(bundle), "--protocol", "categories"]
    with pytest.raises(UsageError, match=r"needs scikit-learn.*pip install 'decode-stream\[train\]'"):
        app(words, result_action="return_value")
