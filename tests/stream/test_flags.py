from hypothesis import given
from hypothesis import strategies as st

from decode_stream.stream.flags import Flags

spans = st.tuples(st.integers(0, 100), st.integers(1, 20), st.sampled_from(["gap", "not finite"]))


@given(added=st.lists(spans, max_size=15), start=st.integers(0, 120), length=st.integers(1, 30))
def test_a_span_is_flagged_exactly_if_a_bad_sample_lies_in_it(added, start: int, length: int) -> None:
    flags, bad = Flags(), {}
    for at, n, reason in sorted(added):
        flags.add(at, at + n, reason)
        for i in range(at, at + n):
            bad.setdefault(i, set()).add(reason)
    found = flags.reason(start, start + length)
    reasons = set().union(*(bad.get(i, set()) for i in range(start, start + length)))
    assert (found is None) == (not reasons)
    assert found is None or found in reasons


def test_flags_of_samples_no_longer_held_are_forgotten() -> None:
    flags = Flags()
    flags.add(0, 10, "gap")
    flags.add(20, 30, "gap")
    flags.forget(15)
    assert [tuple(flag) for flag in flags] == [(20, 30, "gap")]


def test_a_flag_that_goes_on_is_one_flag() -> None:
    flags = Flags()
    flags.add(0, 10, "not finite")
    flags.add(10, 12, "not finite")
    assert [tuple(flag) for flag in flags] == [(0, 12, "not finite")]
