"""Which provider runs a network, what is said of those that do not, and what happens when one is lost."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.generation.embedded import load_embedded
from decode_stream.decoders.inference import providers
from decode_stream.decoders.inference.backend import Backend
from decode_stream.decoders.inference.providers import PROVIDERS, label, missing, provider_kind
from decode_stream.decoders.inference.session import InferenceSession, LastingSession
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_part import PriorPart
from decode_stream.decoders.runtime import LIVE_BATCHES, Encoder
from decode_stream.demos.demo import demo_generator
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import BundleError, ProviderLost, UsageError
from tests.app.test_session import filtered_bundle, write_csv
from tests.decoders.inference.failing import Fails, batches, network, only

NO_DRIVER = "no NVIDIA driver"


def fails(at: int) -> Any:
    return lambda model, warm: Fails(model, warm, at)


def refuses(model: OnnxModel, warm: Sequence[int]) -> Backend:
    raise RuntimeError("no kernel image is available\nfor execution on the device")


# Which


def test_the_order_is_best_first_and_the_cpu_is_always_there() -> None:
    assert [kind.name for kind in PROVIDERS] == ["tensorrt-engine", "tensorrt", "cuda", "cpu"]
    assert missing("cpu") is None
    assert label("tensorrt-engine") == "TensorRT engine"
    with pytest.raises(ValueError, match="'gpu' is no provider"):
        provider_kind("gpu")


def test_without_a_driver_one_sentence_says_why_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "no_gpu", lambda: NO_DRIVER)
    session = InferenceSession(network(), "auto")
    assert session.provider == "cpu"
    assert session.fallbacks == ("no NVIDIA driver, so it runs on the CPU",)


def test_the_cpu_that_was_asked_for_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "no_gpu", lambda: pytest.fail("nobody asked for a GPU"))
    assert InferenceSession(network()).fallbacks == ()


def test_each_better_provider_is_tried_and_what_it_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = provider_kind("cpu").open
    only(monkeypatch, tensorrt_engine="tensorrt is not installed", tensorrt=refuses, cuda=fails(9))
    session = InferenceSession(network(), "auto")
    assert session.provider == "cuda"
    assert session.fallbacks == (
        "passed over TensorRT engine: tensorrt is not installed",
        "passed over TensorRT: it does not run this network: no kernel image is available for execution on the device",
    )
    only(monkeypatch, tensorrt_engine=cpu)
    assert InferenceSession(network(), "auto").fallbacks == ()
    only(monkeypatch, tensorrt_engine="no engine", tensorrt="no engine", cuda=cpu)
    assert InferenceSession(network(), "auto").fallbacks == ("no engine, so it runs on CUDA",)


def test_a_provider_asked_for_by_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, cuda=NO_DRIVER, tensorrt=refuses)
    with pytest.raises(
        UsageError, match=r"'cuda' .* \(no NVIDIA driver\); this machine has: tensorrt, cpu\."
    ):
        InferenceSession(network(), "cuda")
    with pytest.raises(
        UsageError, match=r"'tensorrt' .* does not run this network .* no kernel image .* --provider cpu"
    ):
        InferenceSession(network(), "tensorrt")


@pytest.mark.parametrize("provider", ["auto", "cpu", "cuda"])
def test_a_network_at_fault_is_not_blamed_on_the_provider(
    monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    only(monkeypatch, cuda=refuses)
    wrong = OnnxModel(network().graph.replace(b"Flatten", b"Flotten"))
    with pytest.raises(BundleError, match="Flotten"):
        InferenceSession(wrong, provider)
    # Windows of 20 numbers, and a matrix that takes 12: it can be loaded, and not be run.
    with pytest.raises(BundleError, match="MatMul"):
        InferenceSession(network(5), provider)
    with pytest.raises(BundleError, match="The network of 'x' cannot be run: .*Flotten"):
        LastingSession(wrong, provider, what="the network of 'x'")


def test_what_the_runtime_would_trust_is_refused_before_it_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, cpu=lambda model, warm: pytest.fail("it was opened"))
    # One more opset_import, field 8, of the domain "evil".
    foreign = OnnxModel(network().graph + bytes((0x42, 6, 0x0A, 4)) + b"evil")
    with pytest.raises(BundleError, match="operators of 'evil'"):
        InferenceSession(foreign)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CUDAExecutionProvider", "built without it"),
        ("nothing is missing but libraries", "libcudart.so.13 does not load: no such file"),
    ],
)
def test_what_cuda_lacks_is_told(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setattr(providers, "no_gpu", lambda: None)
    monkeypatch.setattr(
        providers, "no_library", lambda linux, windows: f"{linux[0]} does not load: no such file"
    )
    there = {"CUDAExecutionProvider", "CPUExecutionProvider"} - {name}
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: sorted(there))
    why = missing("cuda")
    assert why is not None
    assert said in why
    assert "pip install 'decode-stream[cuda]'" in why


# What it takes


def test_all_outputs_come_unless_some_are_named() -> None:
    session = InferenceSession(network(), warm=(1, 2))
    (inputs,) = batches([2])
    y, p = session.run(inputs)
    assert [spec.name for spec in session.outputs] == ["y", "p"]
    assert (y.shape, p.shape) == ((2, 5), (2, 5))
    assert np.array_equal(session.run(inputs, ["p"])[0], p)
    turned = {"x": np.asfortranarray(inputs["x"]), "t": inputs["t"]}
    assert np.array_equal(session.run(turned, ["p"])[0], p)


@pytest.mark.parametrize(
    "change",
    [
        {"x": np.zeros((1, 3, 4))},
        {"x": np.zeros((1, 1, 4), np.float32)},
        {"x": np.zeros((3, 4), np.float32)},
        {"x": np.zeros((2, 3, 4), np.float32)},
        {"t": np.zeros((), np.float32)},
    ],
)
@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_inputs_that_are_not_the_networks_are_no_lost_provider(
    monkeypatch: pytest.MonkeyPatch, provider: str, change: dict[str, Any]
) -> None:
    only(monkeypatch, cuda=fails(1))
    session = InferenceSession(network(), provider)
    with pytest.raises(ValueError, match="got"):
        session.run(batches([1])[0] | change)
    with pytest.raises(ValueError, match="got"):
        session.run({"z": batches([1])[0]["x"]})


# Lost


def test_a_provider_that_fails_is_lost() -> None:
    with pytest.MonkeyPatch.context() as patch:
        only(patch, cuda=fails(2))
        session = InferenceSession(network(), "cuda")
        (inputs,) = batches([1])
        session.run(inputs)
        with pytest.raises(ProviderLost, match="CUDA failed: CUDA failure 719: unspecified launch failure"):
            session.run(inputs)


def test_the_run_that_a_provider_was_lost_at_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, cuda=fails(3))
    plain = InferenceSession(network())
    session = LastingSession(network(), "cuda", what="the network", warm=(1, 2))
    for i, inputs in enumerate(batches([1, 2, 1, 2, 3])):
        assert (session.provider, bool(session.lost)) == (("cuda", False) if i < 3 else ("cpu", True))
        assert all(map(np.array_equal, session.run(inputs), plain.run(inputs)))
    assert session.lost == (
        "CUDA failed: CUDA failure 719: unspecified launch failure; the network goes on on the CPU"
    )


def test_threads_that_lose_a_provider_together_open_the_cpu_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[str]()
    cpu = provider_kind("cpu").open
    together = threading.Barrier(4)

    class FailsTogether(Fails):
        def run(self, inputs: Any, outputs: Sequence[str]) -> list[Any]:
            together.wait()
            raise RuntimeError("CUDA failure 719")

    def count(model: OnnxModel, warm: Sequence[int]) -> Backend:
        opened.append("cpu")
        return cpu(model, warm)

    device = FailsTogether(network(), (1,), 1)
    only(monkeypatch, cuda=lambda model, warm: device, cpu=count)
    session = LastingSession(network(), "cuda", what="it")
    (inputs,) = batches([1])
    results = list[Any]()
    threads = [threading.Thread(target=lambda: results.append(session.run(inputs))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert opened == ["cpu"]


def test_an_encoder_that_loses_its_provider_decodes_the_same_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, bundle = write_csv(tmp_path / "run.csv"), filtered_bundle()
    decoded = dict[int, list[Any]]()
    for at in (0, 3):
        only(monkeypatch, **({"cuda": fails(at)} if at else {}))
        encoder = Encoder(bundle, "auto" if at else "cpu", warm=LIVE_BATCHES)
        assert encoder.provider == ("CUDA" if at else "CPU")
        scores = decode_recording(bundle, encoder, open_recording(path), bundle.manifest.stimuli()).scores
        decoded[at] = [(trial.onset, *trial.log_evidence) for trial in scores.trials]
        assert encoder.provider == "CPU"
        assert encoder.lost.endswith("goes on on the CPU" if at else "")
    assert decoded[0] == decoded[3] != []


def test_a_generator_that_loses_its_provider_draws_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    path = demo_generator()
    assert path is not None
    only(monkeypatch)
    drawn = list[Any]()
    for provider in ("cpu", "cuda"):
        # Its first picture comes when it is opened.
        only(monkeypatch, cuda=fails(2))
        generator = load_embedded(path, provider)
        assert not generator.lost
        nothing = generator.pictures.condition(generator.pictures.nothing())
        drawn.append(generator.draw(nothing, generator.noise(3), generator.n_steps[0]))
    assert np.array_equal(*drawn)
    assert generator.provider == "CPU"
    assert "CUDA failed" in generator.lost


def test_a_prior_says_which_part_cannot_be_run() -> None:
    center = np.zeros(4, np.float32)
    with pytest.raises(BundleError, match="The bundle's prior cannot be run: .*no ONNX file"):
        Prior(PriorPart(b"no graph", 1, center, center))


def test_providers_are_to_be_had_by_partial_functions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, cuda=partial(Fails, at=5))
    assert InferenceSession(network(), "auto").provider == "cuda"
