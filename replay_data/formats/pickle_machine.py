"""Run a pickle without Python's unpickler: nothing is imported, called or looked up that was not admitted by name.

A pickle is a program for a machine with a stack. This one knows the instructions that data need, of the protocols 2 to
5, and no others. Long runs of bytes are not read: they become a `Located`, so that an array of any size can be mapped
from the file.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, TypeAlias

from decode_stream.stream.errors import RecordingError

__all__ = ["Admitted", "Located", "Maker", "Named", "Unbuilt", "run_pickle"]

#: Bytes and text from these lengths on stay in the file.
_LOCATED_BYTES = 4096
_LOCATED_TEXT = 1 << 20
#: Whole numbers of more bytes than that are no data of ours.
_LONGEST_INT = 16
_KEYS = (str, bytes, int, float, type(None))


@dataclass(frozen=True, slots=True)
class Located:
    """A run of bytes, or of text in UTF-8, that stays in the file."""

    offset: int
    length: int
    is_text: bool = False


Maker: TypeAlias = Callable[[tuple[Any, ...]], Any]
#: What a pickle may name: module and name, and what is done when it is called.
Admitted: TypeAlias = Mapping[tuple[str, str], Maker]


@dataclass(frozen=True, slots=True)
class Named:
    """Something admitted that the pickle has named; the thing itself is never imported."""

    module: str
    name: str
    make: Maker

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Unbuilt:
    """A value whose contents the pickle gives in a second step.

    Attributes
    ----------
    build : callable
        Makes the value from its contents.
    memo_keys : list of int
        Where the machine remembers it.
    """

    build: Callable[[Any], Any]
    memo_keys: list[int] = field(default_factory=list)


class _EndError(Exception):
    """The pickle ends before it is done."""


class _NotPlainError(Exception):
    """The pickle does what data need not."""


def run_pickle(
    data: mmap,
    start: int,
    stop: int,
    source: str,
    admitted: Admitted,
    persistent: Maker | None = None,
) -> Any:
    """Return the value of a pickle that holds data only.

    Parameters
    ----------
    data : mmap
        The file.
    start, stop : int
        Where the pickle begins, and where the file or its member ends.
    source : str
        The file, for messages.
    admitted : mapping from (module, name) to callable
        All that the pickle may name.
    persistent : callable or None
        Resolves what is stored outside of the pickle.

    Returns
    -------
    object
        Numbers, texts, bytes, lists, tuples and dicts, what the admitted callables make, and `Located`.

    Raises
    ------
    RecordingError
        If the pickle asks for anything else, is damaged or is cut off.
    """
    machine = _Machine(data, start, stop, admitted, persistent)
    try:
        return machine.run()
    except _EndError:
        raise RecordingError(
            f"{source} is cut off: it ends at byte {stop} in the middle of its data. Copy it again."
        ) from None
    except _NotPlainError as error:
        raise RecordingError(
            f"{source} {error}. Only arrays and plain containers are read from pickled files, and nothing of this one "
            "was run: it is of another kind, damaged or made to do harm. Get it again from where it was published."
        ) from None
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise RecordingError(
            f"{source} is damaged: its pickled data make no sense at byte {machine.at} ({error}). Copy it again."
        ) from error


class _Machine:
    """The stack, the memory of values named twice, and the place in the file."""

    def __init__(
        self, data: mmap, start: int, stop: int, admitted: Admitted, persistent: Maker | None
    ) -> None:
        self.at = start
        self._data = data
        self._stop = stop
        self._admitted = admitted
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self._take(1)[0]) != _STOP:
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise _NotPlainError(f"uses the pickle instruction 0x{code:02x}")
            instruction(self)
        (value,) = self._stack
        if isinstance(value, Unbuilt):
            raise ValueError("a value without contents")
        return value

    # Reading

    def _take(self, n: int) -> bytes:
        if self.at + n > self._stop:
            raise _EndError
        self.at += n
        return self._data[self.at - n : self.at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self.at, min(self._stop, self.at + 512))
        if end < 0:
            raise _EndError
        return self._take(end + 1 - self.at)[:-1].decode()

    def _run(self, form: str, *, is_text: bool) -> Any:
        """Return a run of bytes or text whose length comes first, in the file if it is long."""
        length = self._number(form)
        if length > self._stop - self.at:
            raise _EndError
        if length >= (_LOCATED_TEXT if is_text else _LOCATED_BYTES):
            self.at += length
            return Located(self.at - length, length, is_text)
        value = self._take(length)
        return value.decode("utf-8", "surrogatepass") if is_text else value

    # Instructions

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        # Never below a mark: what lies there belongs to a container that is still open.
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("nothing on the stack")
        value = self._stack.pop()
        if isinstance(value, Unbuilt):
            raise ValueError("a value without contents")
        return value

    def pop_marked(self) -> list[Any]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        if any(isinstance(value, Unbuilt) for value in values):
            raise ValueError("a value without contents")
        return values

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def number(self, form: str) -> None:
        self.push(self._number(form))

    def long(self) -> None:
        length = self._number("B")
        if length > _LONGEST_INT:
            raise _NotPlainError(f"holds a whole number of {length} bytes")
        self.push(int.from_bytes(self._take(length), "little", signed=True))

    def run_of(self, form: str, is_text: bool) -> None:
        self.push(self._run(form, is_text=is_text))

    def tuple_of(self, n: int) -> None:
        self.push(tuple([self.pop() for _ in range(n)][::-1]))

    def append(self, values: list[Any]) -> None:
        self._open(list).extend(values)

    def set_items(self, flat: list[Any]) -> None:
        keys = flat[::2]
        # A key of nested tuples would be hashed by recursion without an end.
        if not all(isinstance(key, _KEYS) for key in keys):
            raise _NotPlainError("holds a dict with keys that are neither text nor numbers")
        self._open(dict).update(zip(keys, flat[1::2], strict=True))

    def _open(self, kind: type[Any]) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"no {kind.__name__} to add to")
        return self._stack[-1]

    def remember(self, key: int) -> None:
        value = self._stack[-1]
        if isinstance(value, Unbuilt):
            value.memo_keys.append(key)
        self._memo[key] = value

    def recall(self, key: int) -> None:
        self.push(self._memo[key])

    def memoize(self) -> None:
        self.remember(len(self._memo))

    def name(self, module: Any, name: Any) -> None:
        make = (
            self._admitted.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        )
        if make is None:
            raise _NotPlainError(f"asks for {f'{module}.{name}'!r}")
        self.push(Named(module, name, make))

    def name_line(self) -> None:
        self.name(self._line(), self._line())

    def name_stacked(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self) -> None:
        given, what = self.pop(), self.pop()
        if not isinstance(what, Named) or not isinstance(given, tuple):
            raise _NotPlainError(f"calls what cannot be called ({type(what).__name__})")
        self.push(what.make(given))

    def build(self) -> None:
        state = self.pop()
        unbuilt = self._stack.pop()
        if not isinstance(unbuilt, Unbuilt):
            raise _NotPlainError(f"sets the contents of a {type(unbuilt).__name__}")
        value = unbuilt.build(state)
        for key in unbuilt.memo_keys:
            self._memo[key] = value
        self.push(value)

    def persistent(self) -> None:
        key = self.pop()
        if self._persistent is None:
            raise _NotPlainError("refers to something outside of the file")
        self.push(self._persistent(key))

    def skip(self, n: int) -> None:
        self._take(n)


_STOP = ord(".")
#: The instructions, by their byte; the names in comments are those of Python's `pickletools`.
_INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: lambda m: m.skip(1),  # PROTO
    0x95: lambda m: m.skip(8),  # FRAME: its contents follow
    ord("("): _Machine.mark,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.number("<i"),  # BININT
    ord("K"): lambda m: m.number("B"),  # BININT1
    ord("M"): lambda m: m.number("<H"),  # BININT2
    0x8A: _Machine.long,  # LONG1
    ord("G"): lambda m: m.number(">d"),  # BINFLOAT
    0x8C: lambda m: m.run_of("B", True),  # SHORT_BINUNICODE
    ord("X"): lambda m: m.run_of("<I", True),  # BINUNICODE
    0x8D: lambda m: m.run_of("<Q", True),  # BINUNICODE8
    ord("C"): lambda m: m.run_of("B", False),  # SHORT_BINBYTES
    ord("B"): lambda m: m.run_of("<I", False),  # BINBYTES
    0x8E: lambda m: m.run_of("<Q", False),  # BINBYTES8
    0x96: lambda m: m.run_of("<Q", False),  # BYTEARRAY8
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("t"): lambda m: m.push(tuple(m.pop_marked())),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("e"): lambda m: m.append(m.pop_marked()),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    ord("u"): lambda m: m.set_items(m.pop_marked()),
    ord("q"): lambda m: m.remember(m._number("B")),  # BINPUT
    ord("r"): lambda m: m.remember(m._number("<I")),  # LONG_BINPUT
    0x94: _Machine.memoize,
    ord("h"): lambda m: m.recall(m._number("B")),  # BINGET
    ord("j"): lambda m: m.recall(m._number("<I")),  # LONG_BINGET
    ord("c"): _Machine.name_line,  # GLOBAL
    0x93: _Machine.name_stacked,  # STACK_GLOBAL
    ord("R"): _Machine.call,  # REDUCE
    ord("b"): _Machine.build,  # BUILD
    ord("Q"): _Machine.persistent,  # BINPERSID
}
