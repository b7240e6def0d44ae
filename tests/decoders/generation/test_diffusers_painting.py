"""What a generator of diffusers computes is what a graph on a GPU can hold."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator, load_diffusers
from decode_stream.decoders.generation.diffusers_graph import captured
from decode_stream.stream.errors import UsageError

from .tiny_pipelines import SIDE_PX, belief, drawn, write_generator

pytestmark = pytest.mark.usefixtures("one_thread")


class Graph:
    """A CUDA graph without CUDA: what was computed once is computed again in the same places."""

    replay: Callable[[], None]


def test_a_graph_takes_new_inputs_where_the_old_ones_were(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def function(a: Any, b: Any) -> tuple[Any, Any]:
        calls.append((a.data_ptr(), b.data_ptr()))
        held[:] = [a, b]
        given[:] = [a + b, a.max()]
        return given[0], given[1]

    held: list[Any] = []
    given: list[Any] = []

    def replay(_: Any) -> None:
        given[0].copy_(held[0] + held[1])
        given[1].copy_(held[0].max())

    class Stream:
        def wait_stream(self, _: Any) -> None: ...

    monkeypatch.setattr(Graph, "replay", replay, raising=False)
    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": nullcontext,
        "CUDAGraph": Graph,
        "graph": lambda _, capture_error_mode: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    first = (torch.ones(3), torch.ones(3))
    run = captured(function, first)
    assert len(set(calls)) == 1
    assert calls[0] != tuple(value.data_ptr() for value in first)
    total, most = run(torch.arange(3.0), torch.full((3,), 5.0))
    assert total.tolist() == [5, 6, 7]
    assert most == 2
    assert len(calls) == 4


class Watch(TorchDispatchMode):
    """Names what a graph on a GPU cannot hold: numbers read back, and numbers made by the processor."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "unique"):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("family", "recipe"),
    [("sdxl", "sdxl-turbo"), ("sd", "ip-adapter"), ("unclip", "unclip"), ("kandinsky", "kandinsky")],
)
def test_painting_neither_waits_for_the_gpu_nor_brings_it_numbers(
    family: str, recipe: str, generator: Callable[..., DiffusersGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator(family, recipe, steps=(2,), start=0.5 if family == "sdxl" else 1.0)
    paint = made._drawing.paint
    watch = Watch()

    def watched(*inputs: Any) -> Any:
        with watch:
            return paint(*inputs)

    monkeypatch.setattr(made._drawing, "paint", watched)
    assert drawn(made, 2).shape == (1, SIDE_PX, SIDE_PX, 3)
    assert not watch.found
    with watch:
        torch.tensor([1.0]).item()
    assert watch.found == {"_local_scalar_dense", "lift_fresh"}


def test_a_graph_on_a_gpu_draws_what_the_networks_draw_and_is_refused_without_one(root: Path) -> None:
    write_generator(root / "sdxl", "sdxl-turbo", adapter="adapter.safetensors", autoencoder="tiny")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            load_diffusers(root / "sdxl", "cuda")
        made = load_diffusers(root / "sdxl", "auto")
        assert (made.provider, made.lost, len(made.notes)) == ("CPU", "", 1)
        assert made.notes[0].endswith(", so it runs on the CPU")
        return
    slow, fast = load_diffusers(root / "sdxl"), load_diffusers(root / "sdxl", "cuda")
    for seed in (1, 2):
        given = belief(2, seed)
        assert np.abs(drawn(fast, 4, given).astype(int) - drawn(slow, 4, given)).max() < 8
