import numpy as np
import pytest

from decode_stream.gui.traces import SPACINGS, block_means, envelope, fitting_spacing, stack


def test_few_samples_stay_as_they_are():
    data = np.arange(20, dtype=np.float32).reshape(10, 2)
    offset, values = envelope(data, start=3, max_points=10)
    np.testing.assert_array_equal(offset, np.arange(10))
    np.testing.assert_array_equal(values, data)


@pytest.mark.parametrize("start", [0, 1, 7, 12345])
def test_thinning_keeps_every_peak(start):
    data = np.zeros((5000, 3), np.float32)
    data[1234, 0], data[4999, 1], data[0, 2] = 9.0, -8.0, 7.0
    offset, values = envelope(data, start, max_points=200)
    assert len(offset) == len(values) <= 204
    assert (values[:, 0].max(), values[:, 1].min(), values[:, 2].max()) == (9.0, -8.0, 7.0)
    assert abs(offset[values[:, 0].argmax()] - 1234) <= 50
    assert (np.diff(offset) >= 0).all()
    assert offset[-1] <= 4999


@pytest.mark.parametrize("lost", [0, 2500, 4999])
def test_thinning_keeps_a_break_of_one_sample(lost):
    data = np.ones((5000, 1), np.float32)
    data[lost] = np.nan
    _, values = envelope(data, 0, max_points=200)
    assert np.isnan(values).sum() == 2


def test_bins_stay_with_their_samples_while_the_signal_scrolls():
    signal = np.random.default_rng(0).standard_normal((6000, 1)).astype(np.float32)
    _, before = envelope(signal[0:5000], 0, max_points=200)
    _, after = envelope(signal[37:5037], 37, max_points=200)
    np.testing.assert_array_equal(before[2:-2], after[2 : len(before) - 2])


def test_rows_are_stacked_around_their_means_and_kept_apart():
    values = np.array([[10, 200], [12, 204], [np.nan, 196]], np.float32)
    x, y = stack(np.array([0.0, 1.0, 2.0]), values, spacing=4.0)
    np.testing.assert_allclose(y, [-0.25, 0.25, np.nan, np.nan, -1.0, 0.0, -1.5 - 0.5, np.nan][: len(y)])
    np.testing.assert_allclose(x, [0, 1, 2, np.nan, 0, 1, 2, np.nan])


def test_one_wild_sample_does_not_bury_the_neighbours():
    values = np.zeros((100, 2), np.float32)
    values[50, 0] = 1e6
    _, y = stack(np.arange(100.0), values, spacing=1.0)
    assert np.nanmax(y) == 1.5


@pytest.mark.parametrize("scale", [1e-12, 3e-6, 1.0, 700.0])
def test_spacing_fits_the_typical_channel(scale):
    values = scale * np.random.default_rng(0).standard_normal((2000, 5)).astype(np.float32)
    values[:, 0] = 0.0
    values[:, 1] *= 1000.0
    values[100] = np.nan
    spacing = fitting_spacing(values)
    assert spacing in SPACINGS
    assert 3 * scale < spacing < 12 * scale


def test_a_flat_signal_has_no_spacing():
    assert fitting_spacing(np.zeros((100, 3), np.float32)) is None
    assert fitting_spacing(np.full((100, 3), np.nan, np.float32)) is None


def test_blocks_hold_every_channel_once():
    data = np.arange(2 * 1001, dtype=np.float32).reshape(2, 1001)
    means, edges = block_means(data, 16)
    assert (edges[0], edges[-1], len(edges)) == (0, 1001, 17)
    assert set(np.diff(edges)) == {62, 63}
    np.testing.assert_allclose(means[1, 3], data[1, edges[3] : edges[4]].mean())
    assert means.dtype == np.float32


def test_a_lost_sample_stays_lost_in_the_means():
    data = np.ones((3, 40), np.float32)
    data[1] = np.nan
    means, _ = block_means(data, 4)
    assert np.isnan(means).any(axis=1).tolist() == [False, True, False]
