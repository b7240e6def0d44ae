"""Networks of a generator of diffusers as files: one for each step that a picture takes, and the decoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from decode_stream import export_pipeline as module
from decode_stream.decoders.generation.diffusers_conditions import unet_arguments
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export_bundle import export_networks
from decode_stream.export_config import ExportConfig
from decode_stream.stream.errors import UsageError
from tests.decoders.generation.tiny_pipelines import (
    pictures_file,
    unet,
    write_adapter,
    write_generator,
    write_pipeline,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("generator")
    write_pipeline("sd", made / "pipeline")
    write_adapter(made / "adapter.safetensors", unet())
    (made / "pictures.safetensors").write_bytes(pictures_file())
    write_generator(made, "ip-adapter", adapter="adapter.safetensors", steps=(3,))
    return made


def some_model() -> OnnxModel:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["latents"], ["predicted"])],
        "none",
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("predicted", TensorProto.FLOAT, ["n"])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return OnnxModel(made.SerializeToString())


def test_each_step_and_the_decoder_are_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = list[int]()

    def export_unet(networks: Any, step: int, latents: np.ndarray, told: np.ndarray) -> OnnxModel:
        # What the exporter would be given is what the network takes.
        given = unet_arguments(networks, torch.from_numpy(told), networks.texts[0])
        with torch.no_grad():
            networks.unet(torch.from_numpy(latents), torch.tensor([step]), **given)
        steps.append(step)
        return some_model()

    def export_autoencoder(networks: Any, latents: np.ndarray) -> OnnxModel:
        with torch.no_grad():
            networks.autoencoder.decode(torch.from_numpy(latents))
        return some_model()

    monkeypatch.setattr(module, "export_unet", export_unet)
    monkeypatch.setattr(module, "export_autoencoder", export_autoencoder)
    assert export_networks(folder, ExportConfig(to="onnx", out=tmp_path / "plain")) == 0
    assert len(steps) == 3
    assert steps == sorted(set(steps), reverse=True)
    names = {f"unet-step-{step:04d}.onnx" for step in steps} | {"decoder.onnx"}
    assert {path.name for path in (tmp_path / "plain").iterdir()} == names
    assert "at most 0.0001" in capsys.readouterr().out


def test_what_no_session_would_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--to fp16 would make what no session runs"):
        export_networks(folder, ExportConfig(to="fp16", out=tmp_path / "half"))
    with pytest.raises(UsageError, match="is a generator"):
        export_networks(folder, ExportConfig(to="onnx", out=tmp_path / "x", recording=Path("a.csv")))
    write_generator(folder, "ip-adapter", adapter="adapter.safetensors", steps=(20,))
    with pytest.raises(UsageError, match="takes 20 steps .* of at most 4"):
        export_networks(folder, ExportConfig(to="onnx", out=tmp_path / "plain"))
    assert not list(tmp_path.iterdir())
