"""What the benchmarks of inference print is what they measured."""

import pytest
from benchmarks import gallery_size, inference_growth
from benchmarks.inference import network, recipe, schedule

from decode_stream.decoders.candidates import Candidates
from decode_stream.decoders.encoders.whole_trial import WholeTrial
from decode_stream.training.whole_trial_models import PUBLISHED


def test_a_gallery_is_ranked_beside_reading_it(capsys: pytest.CaptureFixture[str]) -> None:
    gallery_size.measure(300, 1e-6)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(row[1:-3]) for row in rows[:3]] == ["read once", "best five", "all similarities"]
    assert rows[0][-1] == "1.00"


def test_a_wrong_ranking_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    best = Candidates.best
    monkeypatch.setattr(Candidates, "best", lambda self, x, k: best(self, -x, k))
    with pytest.raises(RuntimeError, match="not those of all"):
        gallery_size.measure(300, 1e-6)


def test_what_does_not_fit_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery_size, "free_bytes", lambda: 1000)
    gallery_size.measure(300, 1.0)
    assert "left out" in capsys.readouterr().out


def test_each_stream_is_decoded_hop_by_hop() -> None:
    found = inference_growth.streams(2, 3, 0.1)
    assert found.n == 8
    assert 0 < found.p50_ms <= found.p99_ms


@pytest.mark.parametrize("model", ["nice", "atm-s", "eegnet", "spatial-attention"])
def test_networks_are_made_at_the_demos_sizes(model: str) -> None:
    (name,) = (known for known in PUBLISHED if known == model)
    made = recipe("meg", schedule(name, "meg"))
    assert made.chain.n_out == 39
    assert float(made.schedule.length_s) == 1
    assert isinstance(network(name, made), WholeTrial)
