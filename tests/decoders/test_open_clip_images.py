"""A tiny model of open_clip with random weights stands for the large ones: the same classes and files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets import open_clip_models
from decode_stream.decoders.targets.open_clip_images import (
    differentiable_layer,
    image_target,
    open_clip_target,
)
from decode_stream.decoders.targets.open_clip_models import load_clip
from decode_stream.stream.errors import UsageError

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1},
}
PICTURES = [np.random.default_rng(i).integers(256, size=(40 + i, 50, 3), dtype=np.uint8) for i in range(3)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Register the model, and return a file of random weights of it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-test.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-test.json")
    torch.manual_seed(0)
    file = folder / "tiny.safetensors"
    state = open_clip.create_model("tiny-test").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file


def test_embeddings_are_those_of_the_library(weights: Path) -> None:
    import open_clip
    import torch
    from PIL import Image

    target = open_clip_target(f"open_clip:tiny-test:{weights}")
    embeddings = target.encode(PICTURES)
    model, _, prepare = open_clip.create_model_and_transforms("tiny-test", pretrained=str(weights))
    with torch.inference_mode():
        batch = torch.stack([prepare(Image.fromarray(picture)) for picture in PICTURES])
        direct = model.eval().encode_image(batch).numpy()
    assert (embeddings.shape, embeddings.dtype) == ((3, 16), np.float32)
    np.testing.assert_allclose(embeddings, direct, rtol=1e-4, atol=1e-5)
    assert not np.allclose(np.linalg.norm(embeddings, axis=1), 1)  # un-normalised
    assert (target.space.dimension, target.space.norm, target.space.layer) == (16, "unit", "image embedding")
    assert target.encode([]).shape == (0, 16)


def test_tokens_and_blocks_are_those_of_the_library(weights: Path) -> None:
    import open_clip
    import torch
    from PIL import Image

    def layer(name: str) -> tuple[EmbeddingSpace, np.ndarray]:
        target = open_clip_target(f"open_clip:tiny-test:{weights}:{name}")
        return target.space, target.encode(PICTURES)

    space, tokens = layer("tokens")
    assert (space.shape, space.dimension) == ((17, 16), 17 * 16)
    pooled = open_clip_target(f"open_clip:tiny-test:{weights}").encode(PICTURES)
    # The class token comes first, and is what the model gives for the picture.
    np.testing.assert_allclose(tokens[:, :16], pooled, rtol=1e-4, atol=1e-6)
    by_class, normed = layer("tokens-by-class")
    assert by_class != space
    np.testing.assert_allclose(
        normed, tokens / np.linalg.norm(tokens[:, :16], axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )
    model, _, prepare = open_clip.create_model_and_transforms("tiny-test", pretrained=str(weights))
    seen = []
    model.visual.transformer.resblocks[0].register_forward_hook(lambda *given: seen.append(given[-1]))
    with torch.inference_mode():
        model.eval().encode_image(torch.stack([prepare(Image.fromarray(picture)) for picture in PICTURES]))
    first, block = layer("block-1")
    assert (first.shape, first.layer) == ((17, 32), "block 1")
    np.testing.assert_allclose(block.reshape(3, 17, 32), seen[0].numpy(), rtol=1e-4, atol=1e-5)
    mean, values = layer("block-1-mean")
    assert (mean.shape, mean.dimension) == ((), 32)
    np.testing.assert_allclose(values, seen[0].numpy()[:, 1:].mean(axis=1), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="has the blocks 1 to 2, and not 3"):
        layer("block-3")
    with pytest.raises(UsageError, match="'pool' is no layer. Layers are pooled, tokens,"):
        layer("pool")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("open_clip:ViT-B-32:/w.pt", ("ViT-B-32", "/w.pt", "pooled")),
        (r"open_clip:ViT-B-32:C:\data\w.pt", ("ViT-B-32", r"C:\data\w.pt", "pooled")),
        (r"open_clip:ViT-B-32:C:\data\w.pt:block-12-mean", ("ViT-B-32", r"C:\data\w.pt", "block-12-mean")),
        ("open_clip:ViT-L-14:/a:b/w.pt:tokens", ("ViT-L-14", "/a:b/w.pt", "tokens")),
    ],
)
def test_a_path_may_hold_colons(name: str, parts: tuple[str, str, str]) -> None:
    assert open_clip_models.split_name(name) == (parts[0], Path(parts[1]), parts[2])


@pytest.mark.parametrize(
    ("model_name", "layer", "shape"),
    [
        ("ViT-L-14", "pooled", (768,)),
        ("ViT-L-14", "tokens", (257, 768)),
        ("ViT-B-32", "block-3", (50, 768)),
        ("ViT-H-14", "pooled", (1024,)),
        ("RN50", "pooled", (1024,)),
    ],
)
def test_models_of_the_papers_have_their_shapes(model_name: str, layer: str, shape: tuple[int, ...]) -> None:
    import open_clip
    import torch

    with torch.device("meta"):  # without memory for the weights
        model = open_clip.create_model(model_name, device="meta")
    clip = open_clip_models.ClipModel(model_name, open_clip.get_model_config(model_name), model, None, "")
    space = image_target("", clip, layer).space
    assert (space.shape or (space.dimension,)) == shape


def test_only_plain_transformers_have_tokens(tmp_path: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    pool = CONFIG | {"vision_cfg": CONFIG["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2}}  # type: ignore[operator]
    (tmp_path / "tiny-pool.json").write_text(json.dumps(pool))
    open_clip.add_model_config(tmp_path / "tiny-pool.json")
    torch.manual_seed(0)
    state = open_clip.create_model("tiny-pool").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    assert open_clip_target(f"open_clip:tiny-pool:{tmp_path / 'w.safetensors'}").encode(PICTURES).shape == (
        3,
        16,
    )
    with pytest.raises(
        UsageError, match="has no layer 'tokens': its image encoder pools its tokens by attention"
    ):
        open_clip_target(f"open_clip:tiny-pool:{tmp_path / 'w.safetensors'}:tokens")


def test_other_weights_are_another_space(weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    state = load_file(weights)
    state["visual.proj"] = state["visual.proj"] + 1
    save_file(state, tmp_path / "other.safetensors")
    (tmp_path / "copy.safetensors").write_bytes(weights.read_bytes())
    first, copy, other = (
        open_clip_target(f"open_clip:tiny-test:{file}").space
        for file in (weights, tmp_path / "copy.safetensors", tmp_path / "other.safetensors")
    )
    assert first == copy
    assert first != other


def test_the_file_beside_the_weights_says_how_pictures_are_prepared(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(weights.read_bytes())
    plain = open_clip_target(f"open_clip:tiny-test:{file}").encode(PICTURES)
    said = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(said))
    other = open_clip_target(f"open_clip:tiny-test:{file}")
    assert abs(other.encode(PICTURES) - plain).max() > 1e-3
    assert other.space != open_clip_target(f"open_clip:tiny-test:{weights}").space
    (tmp_path / "open_clip_config.json").write_text("[]")
    with pytest.raises(UsageError, match="cannot be read.*should hold model_cfg and preprocess_cfg"):
        open_clip_target(f"open_clip:tiny-test:{file}")


def test_the_tag_in_the_name_says_how_pictures_are_prepared() -> None:
    import open_clip

    def prepared(model: str, file: str) -> open_clip_models._Preparation:
        return open_clip_models._preparation(open_clip, model, Path("/nowhere") / file)

    assert prepared("ViT-L-14", "ViT-L-14.laion2b_s32b_b82k.safetensors").mean == (0.5, 0.5, 0.5)
    assert prepared("ViT-L-14", "openai.pt").quick_gelu
    assert not prepared("ViT-L-14", "laion400m_e32.pt").quick_gelu
    # Where all published weights agree, any name will do.
    assert prepared("ViT-B-16-SigLIP", "w.safetensors").resize_mode == "squash"
    with pytest.raises(UsageError, match="do not all take their pictures alike.*laion2b_s32b_b82k"):
        prepared("ViT-L-14", "model.safetensors")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_clip", "write open_clip:MODEL:WEIGHTS"),
        ("open_clip:ViT-B-32", "write open_clip:MODEL:WEIGHTS"),
        ("open_clip:ViT-B-32:", "write open_clip:MODEL:WEIGHTS"),
        ("open_clip:vit-b32:/w.pt", "knows no model 'vit-b32'. Did you mean 'ViT-B-32'?"),
        ("open_clip:ViT-B-32:/nowhere/w.pt", "no weights at /nowhere/w.pt. Nothing is downloaded"),
        ("open_clip:ViT-B-32:laion2b_s34b_b79k", "no weights at laion2b_s34b_b79k. Nothing is downloaded"),
        ("open_clip:roberta-ViT-B-32:/w.pt", "from the Hugging Face hub, and nothing is downloaded"),
    ],
)
def test_what_cannot_be_had_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_clip_target(name)
    assert words in str(refused.value)


def test_files_that_are_not_the_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    cut, strange = tmp_path / "cut.safetensors", tmp_path / "strange.safetensors"
    cut.write_bytes(weights.read_bytes()[:2000])
    save_file({"something": np.zeros(3)}, strange)
    empty = tmp_path / "empty.pt"
    empty.touch()
    for file in (cut, strange, empty):
        with pytest.raises(UsageError, match=f"{file.name} cannot be loaded as the weights of tiny-test"):
            open_clip_target(f"open_clip:tiny-test:{file}")


def test_a_file_that_wants_to_run_something_is_refused(weights: Path, tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    file = tmp_path / "evil.pt"
    torch.save({"state_dict": Evil()}, file)
    with pytest.raises(UsageError, match=r"evil\.pt holds more than weights, and running .* is refused"):
        open_clip_target(f"open_clip:tiny-test:{file}")
    assert not (tmp_path / "ran").exists()


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match="open_clip, which is not installed.*decode-stream\\[train\\]"):
        open_clip_target("open_clip:ViT-B-32:/w.pt")


def test_a_layer_has_a_gradient_with_respect_to_the_picture(weights: Path) -> None:
    clip = load_clip("tiny-test", weights)
    picture = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    given = torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None].requires_grad_()
    for layer in ("block-1", "pooled"):
        (expected,) = image_target("", clip, layer).encode([picture])
        found = differentiable_layer(clip, layer)(given)
        np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-4)
        (slope,) = torch.autograd.grad(found.square().sum(), given)
        assert slope.abs().max() > 0
    larger = torch.nn.functional.interpolate(given, scale_factor=2, mode="nearest")
    # Halved by the filter of a photograph, not by leaving pixels out.
    found, same = (differentiable_layer(clip, "pooled")(pictures) for pictures in (larger, given))
    assert torch.cosine_similarity(found, same).item() > 0.9
