"""Where the network that attends to places gets them from."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from decode_stream.decoders.encoders.electrode_places import standard_places
from decode_stream.decoders.encoders.spatial_attention import SpatialAttention
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel, Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.model_checks import check_network
from decode_stream.training.whole_trial_models import whole_trial_network

pytestmark = pytest.mark.usefixtures("one_thread")


def recipe(
    names: Sequence[str], modality: Modality = "eeg", place: tuple[float, float, float] | None = None
) -> Recipe:
    """Return a recipe of channels of which the first may have a recorded place."""
    gallery = Gallery(("a", "b"), np.eye(2, dtype=np.float32), EmbeddingSpace("x", "y", 2), {}, {})
    channels = tuple(Channel(name, modality, "V", None if i else place) for i, name in enumerate(names))
    chain = ChainSpec(tuple(names), ("V",) * len(names), 40.0)
    schedule = WindowSchedule(Fraction(40), Fraction(1), Fraction(1, 40), first_s=Fraction(1))
    return Recipe(modality, channels, chain, WindowSpec(), schedule, 1, gallery)


def test_names_of_the_10_05_system_have_the_montages_places() -> None:
    oz, lower, left, none = standard_places(["Oz", " po7", "T7", "EOG"])
    assert none is None
    assert oz is not None
    assert lower is not None
    assert left is not None
    assert lower == standard_places(["PO7"])[0]
    # Metres, x to the right and y forwards: behind, behind on the left, and on the left.
    assert abs(oz[0]) < 0.01 < 0.08 < -oz[1]
    assert -lower[0] > 0.03 < -lower[1]
    assert -left[0] > 0.07


def test_without_recorded_places_electrodes_are_placed_by_their_names_and_it_is_said() -> None:
    names, said = ("Oz", "O1", "O2", "Pz", "EOG"), list[str]()
    how = recipe(names)
    check_network("spatial-attention", how, FitOptions(report=said.append))
    assert said == [
        "electrodes are placed by their names, on the average head of the 10-05 system; no place is known of EOG: left "
        "out"
    ]
    module = whole_trial_network("spatial-attention", how, Start(), 0)
    assert isinstance(module, SpatialAttention)
    assert module.config.positions_m == standard_places(names)
    x = {name: float(at) for name, at in zip(names, module.plane[:, 0], strict=True)}
    y = {name: float(at) for name, at in zip(names, module.plane[:, 1], strict=True)}
    assert x["O1"] < x["Oz"] < x["O2"]
    assert y["Oz"] < y["Pz"]


def test_recorded_places_are_not_mixed_with_those_of_an_average_head() -> None:
    said = list[str]()
    check_network(
        "spatial-attention", recipe(("Oz", "O1"), place=(0.0, 0.1, 0.0)), FitOptions(report=said.append)
    )
    assert said == ["no place is known of O1: left out"]


@pytest.mark.parametrize(
    ("names", "modality", "way"),
    [
        (("MLC11", "MLC12"), "meg", r"Give recordings that hold the places of the sensors \(FIF or CTF\)"),
        (("Oz", "O1"), "meg", "FIF or CTF"),
        (("E1", "E2"), "eeg", r"\(\.fif, BIDS\), or name channels as the 10-05 system does"),
    ],
)
def test_sensors_without_a_place_are_refused(names: Sequence[str], modality: Modality, way: str) -> None:
    message = rf"of none of these 2 that is known: {', '.join(names)}\..*{way}"
    with pytest.raises(UsageError, match=message):
        check_network("spatial-attention", recipe(names, modality), FitOptions())
