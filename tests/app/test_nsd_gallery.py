"""From NSD's folder to a number: train by a split, make the gallery of its test, and score what is left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from decode_stream.cli import app
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.replay_data.nsd.design import design_trials
from decode_stream.replay_data.nsd.write import write_betas
from decode_stream.stream.errors import UsageError

from ..replay_data.nsd_sample import AFFINE_MM, GRID, write_sample


def run(*tokens: object) -> None:
    assert app([str(token) for token in tokens], result_action="return_value") == 0


def test_a_split_is_trained_and_tested_from_the_published_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = write_sample(tmp_path / "nsd")
    embeddings = np.random.default_rng(0).standard_normal((400, 5)).astype(np.float32)
    save_file({"embeddings": embeddings, "ids": np.arange(400)}, tmp_path / "all.safetensors")
    target = ("--target", f"file:{tmp_path / 'all.safetensors'}")
    trained, tested = tmp_path / "trained.bundle", tmp_path / "tested.bundle"
    split = ("--nsd-split", "mindeye2")
    trials = design_trials(sample.design, 1)
    cortex = np.zeros(GRID, np.bool_)
    cortex[tuple(np.argwhere(sample.mask).T)] = True
    second = np.random.default_rng(1).normal(0, 2, (len(trials.of(2).table), int(cortex.sum())))
    write_betas(sample.root, 1, 2, second, cortex, AFFINE_MM, version="betas_fithrf")
    betas = (sample.beta_file(), sample.beta_file(session=2))
    training = ("--modality", "fmri", "--model", "ridge", *split, "--protocol", "runs")
    run("train", *betas, *training, *target, "--out", trained)
    bundle = load_bundle(trained)
    shared = {f"nsd{i - 1:05}" for i in sample.design.sharedix}
    assert not shared & set(bundle.manifest.gallery)
    run("gallery", sample.root, "--bundle", trained, *target, *split, "--out", tested)
    assert "4 pictures (NSD, tested on by mindeye2)" in capsys.readouterr().out
    made = load_bundle(tested)
    assert set(made.manifest.gallery) == shared
    for label, name in made.manifest.labels.items():
        row = made.manifest.gallery.index(name)
        np.testing.assert_array_equal(made.gallery[row], embeddings[int(label)])
    assert set(made.thumbnails) == shared
    run("evaluate", *betas, "--bundle", tested, *split, "--json", tmp_path / "x.json")
    assert "NOT HELD OUT" not in capsys.readouterr().out
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["accuracy"]["n"] == 3 * 4
    # Whose test pictures they are, the bundle must say, and the folder must be NSD's.
    nobody = replace(bundle.manifest, training=replace(bundle.manifest.training, subjects=()))
    save_bundle(replace(bundle, manifest=nobody), tmp_path / "nobody.bundle")
    for folder, of, said in ((sample.root, "nobody", "is of nobody named"), (tmp_path, "trained", "is none")):
        with pytest.raises(UsageError, match=said):
            run(
                "gallery",
                folder,
                "--bundle",
                tmp_path / f"{of}.bundle",
                *target,
                *split,
                "--out",
                tmp_path / "no",
            )
