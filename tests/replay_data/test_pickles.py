import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.stream.errors import RecordingError


def dumped(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def check_same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            check_same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert type(ours) is type(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check_same(one, other)
    elif isinstance(theirs, np.ndarray):
        assert ours.shape == theirs.shape
        kind = np.array(theirs.tolist()).dtype if theirs.dtype == object else theirs.dtype
        assert ours.dtype.newbyteorder("=") == kind.newbyteorder(
            "="
        )  # NumPy turns the bytes round, we map them
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


MANY = {
    "volts": np.random.default_rng(0).standard_normal((40, 70)),
    "fortran": np.asfortranarray(np.arange(3000.0).reshape(50, 60)),
    "turned": np.arange(4000).reshape(10, 20, 20).transpose(2, 0, 1),
    "big_endian": np.arange(5000, dtype=">i4"),
    "half": np.ones((40, 80), np.float16),
    "names": np.array(["Fp1", "Oz"]),
    "objects": np.array(["a", "bcd"], dtype=object),
    "none": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "scalar": np.float64(3.5),
    "small": np.float32(2.5),
    "plain": [1, -70000, 2**70, 2.5, None, True, "text", b"bytes", (1, 2), {"x": []}],
    "long_bytes": 3,
    7: "seven",
}
MANY["again"] = MANY["volts"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_gives_what_python_gives(tmp_path: Path, protocol: int) -> None:
    ours = open_arrays(dumped(tmp_path / "x.npy", MANY, protocol))
    check_same(ours, MANY)
    assert ours["again"] is ours["volts"]
    assert not ours["volts"].flags.writeable


def test_a_dict_that_numpy_saved_gives_what_numpy_loads(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", MANY)  # type: ignore[arg-type]
    check_same(open_arrays(tmp_path / "x.npy"), np.load(tmp_path / "x.npy", allow_pickle=True).item())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(
            [np.dtype(code) for code in ("<f8", ">f4", "<f2", "|i1", "<u4", "|b1", "<U3", "<c16")]
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
    ),
    st.sampled_from(["C", "F"]),
    st.booleans(),
)
def test_any_array_is_read_as_numpy_reads_it(tmp_path: Path, array: Any, order: Any, in_dict: bool) -> None:
    path = tmp_path / "x.npy"
    array = np.asarray(array, order=order)
    np.save(path, {"a": array} if in_dict else array)  # type: ignore[arg-type]
    theirs = np.load(path, allow_pickle=True)
    ours, theirs = (open_arrays(path)["a"], theirs.item()["a"]) if in_dict else (open_arrays(path), theirs)
    assert ours.dtype.newbyteorder("=") == theirs.dtype.newbyteorder("=")
    np.testing.assert_array_equal(ours, theirs)


class Harmful:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["pickle", "npy", "pt"])
def test_a_file_that_asks_for_more_is_refused_by_name(tmp_path: Path, protocol: int, form: str) -> None:
    done = tmp_path / "done"
    value = {"raw_eeg_data": Harmful(os.system, f"touch {done}")}
    path = tmp_path / "x.npy"
    path.write_bytes(written := pickle.dumps(value, protocol=protocol))
    if form == "npy":
        header = io.BytesIO()
        described: Any = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(header, described)
        path.write_bytes(header.getvalue() + written)
    elif form == "pt":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", written)
    with pytest.raises(RecordingError, match=rf"asks for '{os.name if os.name == 'nt' else 'posix'}.system'"):
        open_arrays(path)
    assert not done.exists()
    pickle.loads(written)  # the file is as harmful as it is meant to be
    assert done.exists()


@pytest.mark.parametrize(
    "harmful",
    [
        Harmful(eval, "1"),
        Harmful(getattr, "x", "upper"),
        Harmful(np.load, "x.npy"),
        Harmful(np.ndarray, (3,)),
        Harmful(np.dtype, "f8,i4"),
        Harmful(np.dtype, "O"),
        Harmful(bytes, 10**12),
        Path("x"),
        {1, 2},
        np.zeros(2, dtype=[("a", "f8")]),
        np.array([{}, []], dtype=object),
        np.array(["2020"], dtype="M8[s]"),
        {(((1,),),): 2},
    ],
)
def test_nothing_else_is_admitted(tmp_path: Path, harmful: Any) -> None:
    with pytest.raises(RecordingError):
        open_arrays(dumped(tmp_path / "x.npy", [harmful]))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_cut_and_every_wrong_byte_is_told_in_words(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(
        {"a": np.arange(6.0), "b": ["x", np.float64(1)], "c": np.arange(800.0)}, protocol=protocol
    )
    path = tmp_path / "x.npy"
    for stop in [*range(2, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:stop])
        with pytest.raises(RecordingError, match="cut off|damaged"):
            open_arrays(path)
    rng = np.random.default_rng(protocol)
    for at in rng.integers(2, len(whole), 300):
        changed = bytearray(whole)
        changed[at] = rng.integers(256)
        path.write_bytes(changed)
        try:
            open_arrays(path)
        except RecordingError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_a_huge_declared_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    header = io.BytesIO()
    described: Any = {"descr": "<f8", "fortran_order": False, "shape": (16540, 4, 63, 2**40)}
    np.lib.format.write_array_header_1_0(header, described)
    path.write_bytes(header.getvalue() + bytes(100))
    with pytest.raises(RecordingError, match="declares float64 of shape .* holds 100 of them"):
        open_arrays(path)
    pickled = pickle.dumps(np.zeros((20, 30)), protocol=3)
    path.write_bytes(pickled.replace(b"K\x14K\x1e", b"M\xff\xffM\xff\xff".ljust(6, b"\xff"), 1))
    with pytest.raises(RecordingError, match=r"declares float64 of shape \(65535, 65535\)"):
        open_arrays(path)
    # A run of bytes that claims to be longer than the file.
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc")
    with pytest.raises(RecordingError, match="cut off"):
        open_arrays(path)


def test_an_array_of_8_gb_opens_in_little_memory(tmp_path: Path) -> None:
    """A file with a hole for values, larger than this process may take memory."""
    shape = (16540, 4, 63, 250)
    n_bytes = 8 * int(np.prod(shape))
    small = pickle.dumps({"preprocessed_eeg_data": np.zeros((100, 70)), "ch_names": ["Oz"]}, protocol=3)
    at = small.index(held := b"B" + struct.pack("<I", 56000))
    head = small[:at].replace(
        b"K\x64K\x46\x86", b"(" + b"".join(b"J" + struct.pack("<i", n) for n in shape) + b"t", 1
    )
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        file.write(head + b"\x8e" + struct.pack("<Q", n_bytes))
        file.seek(n_bytes, os.SEEK_CUR)
        file.write(small[at + len(held) + 56000 :])
    code = (
        "import sys, pathlib, numpy; from decode_stream.replay_data.formats.array_files import open_arrays\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "before = rss()\n"
        f"value = open_arrays(pathlib.Path({str(path)!r}))\n"
        "array = value['preprocessed_eeg_data']\n"
        "assert array[16000, 3].sum() == 0 and value['ch_names'] == ['Oz']\n"
        "print(array.shape, rss() - before)"
    )
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    *_, taken = out.split()
    assert out.startswith(str(shape))
    assert int(taken) < 8 << 20


def test_torch_files_open_without_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(60.0).reshape(3, 4, 5)
    value = {
        "whole": tensor,
        "window": tensor.transpose(0, 2)[1:, 1:, ::2],
        "half": torch.ones(3, dtype=torch.float16),
        "long": torch.tensor(7),
        "eeg": np.random.default_rng(0).standard_normal((60, 80)).astype(np.float16),
        "img": np.array([["train_images/00001_aardvark/aardvark_01b.jpg"] * 4] * 50),
        "ch_names": ["O1", "Oz"],
    }
    for protocol in (2, 5):
        torch.save(value, tmp_path / "train.pt", pickle_protocol=protocol)
        ours = open_arrays(tmp_path / "train.pt")
        for key, theirs in value.items():
            check_same(ours[key], theirs.numpy() if isinstance(theirs, torch.Tensor) else theirs)
    code = (
        "import sys, pathlib; from decode_stream.replay_data.formats.array_files import open_arrays\n"
        f"open_arrays(pathlib.Path({str(tmp_path / 'train.pt')!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_torch_files_that_cannot_be_mapped_are_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(3, dtype=torch.bfloat16)}, path)
    with pytest.raises(RecordingError, match="bfloat16"):
        open_arrays(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(RecordingError, match=r"asks for 'torch\.nn"):
        open_arrays(path)
    torch.save({"a": torch.ones(3000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match="cut off or damaged"):
        open_arrays(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
    with pytest.raises(RecordingError, match="compressed"):
        open_arrays(path)
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RecordingError, match="before 1.6"):
        open_arrays(path)


def test_other_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_text("hello")
    with pytest.raises(RecordingError, match="no file of arrays"):
        open_arrays(path)
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match="empty"):
        open_arrays(path)
    with pytest.raises(RecordingError, match="cannot be read"):
        open_arrays(tmp_path / "absent.npy")
    path.write_bytes(b"\x93NUMPY\x01\x00\x20\x00" + b"nonsense".ljust(32))
    with pytest.raises(RecordingError, match="damaged header"):
        open_arrays(path)
