"""The few best are those of a stable sort of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.decoders.ranking import largest


@given(
    st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf]), max_size=30),
    st.integers(0, 40),
)
def test_the_best_are_those_of_a_stable_sort(values: list[float], k: int) -> None:
    told = np.array(values)
    assert largest(told, k).tolist() == np.argsort(-told, kind="stable")[:k].tolist()


def test_of_many_different_ones_the_best_come_first() -> None:
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    assert largest(values, 5).tolist() == np.argsort(-values)[:5].tolist()


def test_what_is_no_number_is_last() -> None:
    values = np.array([np.nan, 1.0, np.nan, 3.0])
    assert largest(values, 2).tolist() == [3, 1]
    assert largest(values, 9).tolist() == [3, 1, 0, 2]
    assert np.isnan(values[0])


def test_fewer_than_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no -1 best"):
        largest(np.zeros(3), -1)
