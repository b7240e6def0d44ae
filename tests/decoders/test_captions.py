"""Screening of captions, on numbers worked out by hand, and the text encoder that it rests on."""

import json
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.targets.captions import (
    concept_sentences,
    match_probabilities,
    vet,
    vetted,
)
from decode_stream.decoders.targets.open_clip_images import open_clip_target
from decode_stream.decoders.targets.open_clip_texts import open_clip_text_target
from decode_stream.decoders.targets.target import clamped
from decode_stream.stream.errors import UsageError

PICTURE = np.array([3.0, 0.0], np.float32)
# Cosines to the picture: 1, 0.8, 0 and -1.
CAPTIONS = np.array([[2, 0], [4, 3], [0, 1], [-5, 0]], np.float32)


def test_match_probabilities_are_the_softmax_of_scaled_cosines() -> None:
    weights = np.exp(2 * np.array([1, 0.8, 0, -1]))
    np.testing.assert_allclose(match_probabilities(PICTURE, CAPTIONS, 2.0), weights / weights.sum())


def test_captions_above_half_of_the_best_are_kept() -> None:
    # exp(2 * (0.8 - 1)) = 0.67 of the best; exp(5 * (0.8 - 1)) = 0.37 of it.
    assert vetted(match_probabilities(PICTURE, CAPTIONS, 2.0)).tolist() == [True, True, False, False]
    assert vetted(match_probabilities(PICTURE, CAPTIONS, 5.0)).tolist() == [True, False, False, False]
    assert vetted(np.array([0.5, 0.25, 0.25])).tolist() == [True, False, False]  # exceeds, not reaches
    assert vetted(np.array([1.0])).tolist() == [True]


def test_the_kept_are_averaged_or_chosen() -> None:
    other = np.array([[0, 7], [0, 2]], np.float32)
    kept = vet(np.stack([PICTURE, [0, 1]]).astype(np.float32), np.concatenate([CAPTIONS, other]), [4, 2], 2.0)
    assert kept.starts.tolist() == [0, 2, 4]
    np.testing.assert_allclose(kept.embeddings, [[1, 0], [0.8, 0.6], [0, 1], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(kept.mean(), [[0.9, 0.3], [0, 1]], rtol=1e-6)
    turned = kept.rows(np.array([1, 0]))
    assert turned.starts.tolist() == [0, 2, 4]
    np.testing.assert_allclose(turned.mean(), kept.mean()[::-1])
    first = kept.rows(np.array([0]))
    np.testing.assert_allclose(first.embeddings, [[1, 0], [0.8, 0.6]], rtol=1e-6)
    assert kept.rows(np.array([], np.int64)).starts.tolist() == [0]


def test_what_is_clamped_is_compared_before() -> None:
    kept = vet(PICTURE[None], CAPTIONS, [4], 2.0, clamp=1.5)
    # (4, 3) becomes (1.5, 1.5), and then of unit length.
    np.testing.assert_allclose(kept.embeddings, [[1, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-6)
    with pytest.raises(ValueError, match="differ"):
        vet(PICTURE[None], CAPTIONS, [3], 2.0)


def test_concepts_become_sentences() -> None:
    assert concept_sentences(["aircraft_carrier"]) == ["This picture is aircraft carrier"]


def test_texts_are_encoded_as_the_library_does(tmp_path: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-text.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-text.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-text").eval()
    file = tmp_path / "w.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    target = open_clip_text_target(f"open_clip_text:tiny-text:{file}")
    texts = ["A cat on a mat.", "a dog", "A very long sentence about many things that are in this picture"]
    with torch.inference_mode():
        direct = model.encode_text(open_clip.get_tokenizer("tiny-text")(texts)).numpy()
    np.testing.assert_allclose(target.encode(texts), direct, rtol=1e-4, atol=1e-5)
    assert target.encode([]).shape == (0, 16)
    assert target.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)
    assert target.pictures.space == open_clip_target(f"open_clip:tiny-text:{file}").space
    assert target.space != target.pictures.space
    limited = clamped(target, 0.01)
    np.testing.assert_allclose(limited.encode(texts), np.clip(direct, -0.01, 0.01), rtol=1e-4, atol=1e-6)  # type: ignore[union-attr, arg-type]
    with pytest.raises(UsageError, match="texts have the layer pooled alone"):
        open_clip_text_target(f"open_clip_text:tiny-text:{file}:tokens")
    with pytest.raises(UsageError, match="write open_clip_text:MODEL:WEIGHTS"):
        open_clip_text_target("open_clip_text:tiny-text")
