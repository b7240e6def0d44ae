"""Engines are built once for all they depend on, and built anew, with a word, where what is kept does not fit."""

import errno
import sys
from pathlib import Path

import pytest

from decode_stream.decoders.inference.tensorrt_engine import build_engine, load_engine
from decode_stream.stream.errors import GpuError, UsageError

from .fake_cuda import NAME, FakeCuda, cudaError_t
from .fake_tensorrt import FakeTensorRT
from .networks import encoder, machine

Machine = tuple[FakeTensorRT, FakeCuda]
LIBRARY = {"10": "tensorrt", "11": "tensorrt", "rtx": "tensorrt-rtx"}


class Said(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture(params=["10", "11", "rtx"])
def each(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return machine(monkeypatch, tmp_path, request.param)


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return machine(monkeypatch, tmp_path, "10")


def test_an_engine_is_built_once(each: Machine, tmp_path: Path) -> None:
    trt, _ = each
    said, library = Said(), LIBRARY[trt.flavour]
    path = build_engine(encoder(), most_batch=5, library=library, report=said)
    assert path.parent == tmp_path / "engines"
    assert len(said) == 1
    assert f"builds an engine for {NAME}, batches of 1 to 5" in said[0]
    assert build_engine(encoder(), most_batch=5, library=library, report=said) == path
    assert (len(said), len(trt.built)) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"model": encoder(batch="rows")},
        {"most_batch": 6},
        {"version": "10.17.0.0"},
        {"gpu": "NVIDIA L40S"},
        {"driver": 13030},
    ],
    ids=lambda other: next(iter(other)),
)
def test_it_is_never_used_for_anything_else(
    ten: Machine, monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    trt, cuda = ten
    first = build_engine(encoder(), most_batch=5, library="tensorrt", report=Said())
    trt.__version__ = str(other.get("version", trt.__version__))
    cuda.name = str(other.get("gpu", cuda.name))
    monkeypatch.setattr(
        cuda, "cudaDriverGetVersion", lambda: (cudaError_t.cudaSuccess, other.get("driver", 13020))
    )
    said = Said()
    second = build_engine(
        other.get("model", encoder()), most_batch=other.get("most_batch", 5), library="tensorrt", report=said
    )
    assert len({first, second}) == len(trt.built) == 2
    assert first.exists()
    assert ("An engine of this network was built" in said[0]) == ("model" not in other)


def test_networks_are_told_apart_by_the_numbers_beside_them(ten: Machine) -> None:
    beside = encoder(beside=True)
    paths = {
        build_engine(model, most_batch=1, library="tensorrt", report=Said())
        for model in (beside, type(beside)(beside.graph, beside.data[::-1]), encoder())
    }
    assert len(paths) == len(ten[0].built) == 3


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-7], lambda content: b"", lambda content: b"x" * 99]
)
def test_a_damaged_engine_is_built_anew(ten: Machine, damage: object) -> None:
    path = build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    said = Said()
    assert build_engine(encoder(), most_batch=2, library="tensorrt", report=said) == path
    assert "is damaged" in said[0]
    assert "builds an engine" in said[1]
    assert path.read_bytes() == whole


def test_an_engine_that_the_library_does_not_take_is_built_anew(ten: Machine) -> None:
    trt, _ = ten
    path = build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())
    real, refused = trt.Runtime, []

    def once(logger: object) -> object:
        trt.breaks = set() if refused else {"deserialise"}
        refused.append(logger)
        return real(logger)

    trt.Runtime = once
    said = Said()
    assert load_engine(encoder(), most_batch=2, library="tensorrt", report=said).path == path
    assert said[0] == (
        f"TensorRT does not take the engine in {path}: The engine plan file is not compatible with this version of "
        "TensorRT: it is built anew"
    )
    assert len(trt.built) == 2


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("deserialise", r"does not take the engine it has built: The engine plan file is not compatible"),
        ("build", r"cannot build this network: Error Code 10: Could not find any implementation"),
        ("Builder", r"cannot build on NVIDIA Stand-in 40 GB: Builder finds no GPU that it supports\.$"),
        ("Runtime", r"does not take the engine it has built: Runtime finds no GPU"),
    ],
)
def test_what_the_library_cannot_do_is_told_in_its_words(each: Machine, broken: str, says: str) -> None:
    each[0].breaks.add(broken)
    with pytest.raises(GpuError, match=says):
        build_engine(encoder(), most_batch=2, library=LIBRARY[each[0].flavour], report=Said())


def test_an_operator_that_is_not_known_is_named(each: Machine) -> None:
    model = encoder(operator="Mystery")
    with pytest.raises(
        GpuError,
        match=r"does not know this network at Mystery 'sum': Plugin not found, are",
    ):
        build_engine(model, most_batch=2, library=LIBRARY[each[0].flavour], report=Said())
    with pytest.raises(GpuError, match=r"does not know this network: Assertion failed: Failed to parse"):
        build_engine(
            type(model)(model.graph[:-40]), most_batch=2, library=LIBRARY[each[0].flavour], report=Said()
        )


def test_a_length_other_than_the_batch_that_is_free_is_refused(ten: Machine) -> None:
    with pytest.raises(
        GpuError, match=r"'window' is of shape \(-1, 3, -1\).*export it with the others fixed"
    ):
        build_engine(encoder(times="times"), most_batch=2, library="tensorrt", report=Said())


def test_a_network_that_finds_no_room_to_be_read_from_is_told(
    ten: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UsageError, match=r"cannot be written: No space left on device\. .* set TMPDIR"):
        build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())


def test_networks_are_built_where_the_flag_of_strong_types_is_gone(
    ten: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt, _ = machine(monkeypatch, tmp_path, "11")
    trt.NetworkDefinitionCreationFlag = type("NetworkDefinitionCreationFlag", (), {})
    assert build_engine(encoder(), most_batch=2, library="tensorrt", report=Said()).exists()


def test_what_was_measured_serves_the_next_network(each: Machine, tmp_path: Path) -> None:
    trt, _ = each
    for batch in ("one", "two", "three"):
        build_engine(encoder(batch=batch), most_batch=2, library=LIBRARY[trt.flavour], report=Said())
    kept = list((tmp_path / "engines").glob("timing-*.cache"))
    if trt.flavour == "rtx":  # which measures nothing that is of use to it again
        assert kept == trt.timings == []
        return
    assert trt.timings == [b"", b"timings +", b"timings ++"]
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    build_engine(encoder(batch="four"), most_batch=2, library=LIBRARY[trt.flavour], report=Said())
    assert trt.timings[-1] == b""


def test_timings_that_the_library_does_not_take_only_cost_time(ten: Machine) -> None:
    trt, _ = ten
    for batch, broken in [("one", ""), ("two", "timings"), ("three", "no timings")]:
        trt.breaks = {broken}
        assert build_engine(encoder(batch=batch), most_batch=2, library="tensorrt", report=Said()).exists()
    assert trt.timings == [b"", b"", b"timings +", b""]


def test_a_machine_without_library_or_gpu_says_so(ten: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"TensorRT for RTX does not load.*pip install tensorrt-rtx-cu13"):
        build_engine(encoder(), most_batch=2, library="tensorrt-rtx", report=Said())
    ten[1].fails["cudaGetDeviceProperties"] = cudaError_t.cudaErrorInsufficientDriver
    with pytest.raises(GpuError, match="Install a newer NVIDIA driver"):
        build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UsageError, match=r"pip install 'decode-stream\[tensorrt\]'"):
        build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())
    with pytest.raises(ValueError, match="batch of 0"):
        build_engine(encoder(), most_batch=0, library="tensorrt", report=Said())


def test_engines_that_cannot_be_kept_are_told(
    ten: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DECODE_STREAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="Engines cannot be kept in .*DECODE_STREAM_CACHE"):
        build_engine(encoder(), most_batch=2, library="tensorrt", report=Said())
