import numpy as np
import pytest
from nilearn.glm.first_level.hemodynamic_models import compute_regressor, glover_hrf, spm_hrf

from decode_stream.stream.fmri.hrf import GLOVER, LIBRARY, SPM, Responses, voxels_by_shape


@pytest.mark.parametrize("tr_s", [4 / 3, 1.333, 1.6, 2.5, 0.8])
@pytest.mark.parametrize(
    ("name", "shape", "sampled"), [("glover", GLOVER, glover_hrf), ("spm", SPM, spm_hrf)]
)
def test_response_equals_nilearn(name, shape, sampled, tr_s):
    assert np.abs(shape.sampled(tr_s) - sampled(tr_s)).max() < 1e-12
    n_volumes = 121
    responses = Responses(shape, tr_s, n_volumes)
    for onset, duration_s in ((0.0, 3.0), (7.0, 0.0), (12.37, 3.0), (40.5, 22.5), (119.0, 3.0), (-4.0, 2.0)):
        event = np.array([[onset * tr_s], [duration_s], [1.0]])
        theirs, _ = compute_regressor(event, name, np.arange(n_volumes) * tr_s)
        boxcar = responses.boxcar(onset * tr_s, duration_s)
        ours = responses.values([boxcar], np.arange(n_volumes))
        assert np.abs(ours - theirs).max() < 1e-9


def test_response_is_nothing_before_its_first_volume_and_once_it_is_over():
    responses = Responses(GLOVER, 2.0, 100)
    boxcar = responses.boxcar(20.6, 3.0)
    column = responses.values([boxcar], np.arange(100))[:, 0]
    first = responses.first_volume(boxcar[0])
    over = next(volume for volume in range(100) if responses.is_over(boxcar[1], volume))
    assert not column[:first].any()
    assert not column[over:].any()
    assert column[first + 1] != 0
    assert column[over - 1] != 0
    assert (first, over) == (11, 28)


def test_columns_go_on_behind_the_planned_end():
    planned = Responses(GLOVER, 2.0, 50)
    longer = Responses(GLOVER, 2.0, 500)
    volumes = np.arange(48, 80)
    late, reference = (each.values([each.boxcar(96.41, 3.0)], volumes) for each in (planned, longer))
    assert np.abs(late - reference).max() < 1e-9
    assert late.max() > 0.5


def test_library_peaks_at_the_times_of_its_grid():
    peaks_s = []
    for shape in LIBRARY:
        response = shape.sampled(0.5)
        assert response.sum() == pytest.approx(1)
        peaks_s.append(response.argmax() * 0.01)
    expected = np.repeat([3.5, 4.5, 5.5, 6.5, 7.5], 4)
    # A wide undershoot pulls the peak forward a little.
    assert np.abs(np.array(peaks_s) - expected).max() < 0.4
    assert len({shape.sampled(2.0).tobytes() for shape in LIBRARY}) == 20


def test_each_voxel_of_the_library_has_a_shape():
    found = list(voxels_by_shape("library", (3, 0, 3), 3))
    assert [(shape, voxels.tolist()) for shape, voxels in found] == [(LIBRARY[0], [1]), (LIBRARY[3], [0, 2])]
    with pytest.raises(ValueError, match="3 voxels need one each, and 2 have one"):
        list(voxels_by_shape("library", (3, 0), 3))
    with pytest.raises(ValueError, match="20 shapes"):
        list(voxels_by_shape("library", (3, 20), 2))
