import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from decode_stream.decoders.encoders.nice import Nice, NiceConfig
from decode_stream.decoders.encoders.public_weights import load_public_weights
from decode_stream.stream.errors import UsageError
from tests.decoders import public_states

STATES = public_states.nice("none")
LOADED = {
    "convolution.temporal.weight": "Enc_eeg.0.tsconv.0.weight",
    "convolution.spatial_norm.running_var": "Enc_eeg.0.tsconv.5.running_var",
    "convolution.spatial_norm.num_batches_tracked": "Enc_eeg.0.tsconv.5.num_batches_tracked",
    "project.step.bias": "Proj_eeg.1.fn.1.bias",
}


def nice() -> Nice:
    return Nice(NiceConfig(), seed=5)


def joined() -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for part, state in STATES.items()
        for name, tensor in public_states.under(part, state).items()
    }


def require_loaded(module: Nice) -> None:
    own, public = module.state_dict(), joined()
    for name, where in LOADED.items():
        torch.testing.assert_close(own[name], public[where], rtol=0, atol=0)


def saved_apart(folder: Path, *, suffix: str = "pth") -> list[Path]:
    """Return the files that public code writes, under the names it gives them."""
    paths = [folder / f"test0{part}_cls.{suffix}" for part in STATES]
    for path, state in zip(paths, STATES.values(), strict=True):
        torch.save(state, path) if suffix == "pth" else save_file(state, path)
    return paths


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_model_is_put_together_from_its_files(tmp_path: Path, suffix: str) -> None:
    module = nice()
    load_public_weights(module, saved_apart(tmp_path, suffix=suffix))
    require_loaded(module)


@pytest.mark.parametrize(
    "content",
    [
        joined(),
        public_states.under("module", joined()),
        {part: public_states.under("module", state) for part, state in STATES.items()},
        {f"{part}_state_dict": state for part, state in STATES.items()}
        | {"epoch": 3, "best": torch.zeros(2), "optimizer_state_dict": {"state": {}, "param_groups": []}},
        {"state_dict": joined(), "callbacks": {}},
    ],
    ids=["names joined", "data parallel", "parts", "checkpoint", "lightning"],
)
def test_a_model_may_be_one_file_or_mapping(tmp_path: Path, content: dict[str, object]) -> None:
    torch.save(content, tmp_path / "all.pth")
    for source in (content, tmp_path / "all.pth", str(tmp_path / "all.pth")):
        module = nice()
        load_public_weights(module, source)
        require_loaded(module)


def test_weights_of_half_precision_are_widened() -> None:
    module = nice()
    load_public_weights(
        module, {part: {n: t.half() for n, t in state.items()} for part, state in STATES.items()}
    )
    assert {tensor.dtype for tensor in module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Proj_eeg.0.weight": None}, r"missing: Proj_eeg\.0\.weight\."),
        ({"Enc_eeg.0.tsconv.9.bias": torch.zeros(1)}, r"unknown: Enc_eeg\.0\.tsconv\.9\.bias\."),
        ({"project.map.weight": torch.zeros(768, 1440)}, r"unknown: project\.map\.weight\."),
        (
            {"Enc_eeg.0.tsconv.4.weight": torch.zeros(40, 40, 17, 1)},
            r"Enc_eeg\.0\.tsconv\.4\.weight \(40, 40, 17, 1\), not \(40, 40, 63, 1\)",
        ),
    ],
    ids=["missing", "unknown", "own name", "shape"],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_changes(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    module = nice()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    changed = {name: tensor for name, tensor in (joined() | change).items() if tensor is not None}
    with pytest.raises(UsageError, match=f"do not fit Nice; .*{message}.*trained for"):
        load_public_weights(module, changed)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_weights_of_another_model_are_named_up_to_a_few() -> None:
    other = public_states.filled(public_states.atm())
    with pytest.raises(UsageError, match=r"missing: .* and 18 more; unknown: .* and 49 more"):
        load_public_weights(nice(), other)


def test_one_file_of_two_says_what_is_missing(tmp_path: Path) -> None:
    encoder, *_ = saved_apart(tmp_path)
    with pytest.raises(UsageError, match=r"missing: Proj_eeg\.0\.weight, .*all of its files"):
        load_public_weights(nice(), encoder)


def test_two_files_of_one_part_are_refused(tmp_path: Path) -> None:
    paths = saved_apart(tmp_path)
    torch.save(STATES["Proj_eeg"], tmp_path / "test1Proj_eeg_cls.pth")
    with pytest.raises(UsageError, match=r"given twice: Proj_eeg\.0\.bias, "):
        load_public_weights(nice(), [*paths, tmp_path / "test1Proj_eeg_cls.pth"])


class Trap:
    """Touches a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    path, touched = tmp_path / "model.pth", tmp_path / "touched"
    for content in (Trap(touched), {"state_dict": joined(), "args": argparse.Namespace(a=1)}, nice()):
        torch.save(content, path)
        with pytest.raises(UsageError, match=r"would run code.*torch\.save\(model\.state_dict\(\), path\)"):
            load_public_weights(nice(), path)
    assert not touched.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{name} (cannot be read as|is no file of) weights"):
        load_public_weights(nice(), path)


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file of weights at .*absent\.pth"):
        load_public_weights(nice(), tmp_path / "absent.pth")
    with pytest.raises(UsageError, match="cannot be read as weights"):
        load_public_weights(nice(), tmp_path)
    torch.save({"epoch": 3, "history": [1.0]}, tmp_path / "history.pth")
    with pytest.raises(UsageError, match=r"history\.pth holds no weights"):
        load_public_weights(nice(), tmp_path / "history.pth")
