"""Regions by name: which voxels they hold, and what is refused."""

import numpy as np
import pytest

from decode_stream.decoders.regions import Atlas, Regions
from decode_stream.stream.errors import UsageError


@pytest.fixture
def regions() -> Regions:
    streams = Atlas.of(np.array([-1, 0, 1, 5, 5, 9]), {1: "early", 5: "ventral", 6: "lateral"})
    return Regions({"streams": streams, "faces": Atlas(np.array([0, 2, 0, 2, 0, 0]), ("OFA", "FFA-1"))})


def test_regions_are_found_by_name(regions: Regions) -> None:
    assert regions.mask("streams=ventral").tolist() == [False, False, False, True, True, False]
    assert regions.mask("Streams=EARLY, ventral").sum() == 3
    assert regions.mask("streams").sum() == 4
    assert regions.mask("streams=9").sum() == 1  # a label without a name goes by its number
    assert list(regions.named()) == ["streams=early", "streams=ventral", "streams=9", "faces=FFA-1"]
    assert list(regions.named("faces")) == ["faces=FFA-1"]


def test_some_voxels_keep_their_regions(regions: Regions) -> None:
    some = regions.of(np.array([4, 0, 2]))
    assert some.mask("streams").tolist() == [True, False, True]
    with pytest.raises(UsageError, match=r"None of the 3 voxels lies in faces=FFA-1\."):
        some.mask("faces=FFA-1")


def test_what_is_not_there_is_refused_by_name(regions: Regions) -> None:
    with pytest.raises(UsageError, match=r"no atlas 'stream'\. Did you mean 'streams'\?"):
        regions.mask("stream=early")
    with pytest.raises(UsageError, match=r"no atlas 'ventral'\. Did you mean streams=ventral\?"):
        regions.mask("ventral")
    with pytest.raises(UsageError, match=r"no region 'ventrall' here\. Did you mean 'ventral'\?"):
        regions.mask("streams=ventrall")
    with pytest.raises(UsageError, match="lies in faces=OFA. Those that hold some are: faces=FFA-1"):
        regions.mask("faces=OFA")


def test_atlases_that_do_not_fit_are_no_regions() -> None:
    one = Atlas(np.array([0, 1]), ("a",))
    with pytest.raises(ValueError, match="different numbers of voxels"):
        Regions({"a": one, "b": Atlas(np.array([1]), ("b",))})
    with pytest.raises(ValueError, match="Labels run from 0 to the 1 names"):
        Atlas(np.array([2]), ("a",))
    with pytest.raises(ValueError, match="names that differ"):
        Atlas(np.array([1]), ("a", "a"))
    twice = Atlas.of(np.array([1, 2]), {1: "V1", 2: "V1"})
    assert twice.names == ("V1", "V1 (2)")
