"""The table of models."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from decode_stream.config import Model, TrainConfig
from decode_stream.stream.errors import UsageError
from decode_stream.training.model_checks import check_config, check_starts, check_structure
from decode_stream.training.models import MODELS, default_model, fitter, trial_spec


def test_every_model_of_the_command_line_is_in_the_table_and_loads() -> None:
    assert set(MODELS) == set(get_args(Model))
    for name in MODELS:
        assert callable(fitter(name))


def test_every_modality_has_a_model_of_its_own() -> None:
    for modality in ("eeg", "meg", "fmri"):
        for embeddings in (False, True):
            assert modality in MODELS[default_model(modality, embeddings=embeddings)].modalities


def test_a_model_is_refused_for_a_modality_that_it_does_not_decode() -> None:
    with pytest.raises(UsageError, match="--model nice does not decode fmri; fmri has ridge"):
        trial_spec("nice", "fmri", "growing")
    with pytest.raises(UsageError, match="--model ridge does not decode eeg"):
        trial_spec("ridge", "eeg", "growing")


def test_a_second_head_is_refused_for_a_model_that_has_none() -> None:
    check_structure("nice")
    check_structure("channel-attention")
    for name in ("lda", "encoding", "linear", "neurobridge"):
        with pytest.raises(
            UsageError, match=f"--model {name} has no second head: leave out --structure.*nice"
        ):
            check_structure(name)


def test_encoders_of_whole_trials_grow_unless_asked_not_to() -> None:
    growing, whole = (trial_spec("nice", "eeg", windows) for windows in ("growing", "whole"))
    assert growing is not None
    assert whole is not None
    assert growing.growing
    assert growing.first_s == 0.1
    assert whole.first_s is None
    assert trial_spec("channel-attention", "eeg", "growing") is None


def test_whole_trials_are_for_models_that_take_them() -> None:
    with pytest.raises(UsageError, match="--model lda does not take whole trials: leave out --windows"):
        trial_spec("lda", "eeg", "whole")


def test_a_model_of_categories_takes_no_target() -> None:
    config = TrainConfig(modality="eeg", target="objects", out=Path("x"))
    check_config("encoding", config)
    with pytest.raises(
        UsageError, match="--model lda decodes categories, not embeddings: leave out --target"
    ):
        check_config("lda", config)


def test_settings_of_steps_are_for_models_that_take_steps() -> None:
    config = TrainConfig(modality="eeg", epochs=3, learning_rate=1.0, out=Path("x"))
    check_config("nice", config)
    with pytest.raises(UsageError, match="solved at once, not in steps: leave out --epochs, --learning-rate"):
        check_config("lda", config)


def test_losses_and_schedules_are_for_networks_and_embeddings() -> None:
    config = TrainConfig(modality="eeg", target="objects", loss="clip-mse", schedule="cosine", out=Path("x"))
    for name, entry in MODELS.items():
        if "eeg" in entry.modalities and entry.check is not None and entry.regresses:
            check_config(name, config)
    with pytest.raises(UsageError, match="encoding is solved at once, .*: leave out --loss, --schedule"):
        check_config("encoding", config)
    with pytest.raises(
        UsageError, match="--loss clip-mse would make all of them one point.*info-nce, soft-clip"
    ):
        check_config("neurobridge", config)
    check_config("neurobridge", replace(config, loss="soft-clip"))
    with pytest.raises(UsageError, match="--loss is between embeddings: it belongs to --target"):
        replace(config, target=None)


def test_what_is_solved_at_once_begins_with_nothing() -> None:
    check_starts("nice")
    with pytest.raises(UsageError, match="leave out --init-from"):
        check_starts("lda")
