"""Networks of diffusers, read from a folder on this machine and made ready to draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decode_stream.stream.errors import BundleError

from .denoisers import Prediction
from .diffusers_files import PipelineFile, find_family, inside, variant_of
from .diffusers_recipes import FAMILIES
from .diffusers_weights import (
    load_adapter,
    load_tiny_autoencoder,
    load_unet,
    merge_lora,
    needs_diffusers,
    quiet_diffusers,
    readable,
)
from .schedules import VariancePreserving, cosine_betas, linear_betas, scaled_linear_betas

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Networks", "load_networks", "load_pipeline", "schedule_of"]

_TABLES = {"linear": linear_betas, "scaled_linear": scaled_linear_betas}
_PREDICTIONS: Mapping[str, Prediction] = {"epsilon": "noise", "v_prediction": "v", "sample": "clean"}


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """What draws, without what it was told once and for all by.

    Attributes
    ----------
    family : str
        See `FAMILIES`.
    unet : UNet2DConditionModel
        With the weights of the recipe and the adapter in it.
    autoencoder : AutoencoderKL, AutoencoderTiny or VQModel
    schedule : VariancePreserving
    predicts : {"noise", "v", "clean"}
    texts : tuple of mapping of str to Tensor
        What the U-Net is told of an empty text, and of none: ``states``, of SDXL ``pooled`` and ``sizes`` as well.
    normalizer : tuple of Tensor or None
        Of unCLIP: mean and spread of embeddings, each (1, dimension).
    noising : VariancePreserving or None
        Of unCLIP: the noise on embeddings.
    guidance : Tensor of shape (1, width) or None
        What the U-Net is told of the guidance, where it learnt to draw as if guided (Meng et al. 2023,
        arXiv 2210.03142); it is not guided then.
    """

    family: str
    unet: Any
    autoencoder: Any
    schedule: VariancePreserving
    predicts: Prediction
    texts: "tuple[Mapping[str, Tensor], Mapping[str, Tensor]]"
    normalizer: "tuple[Tensor, Tensor] | None" = None
    noising: VariancePreserving | None = None
    guidance: "Tensor | None" = None

    @property
    def takes(self) -> int:
        """Numbers of an embedding that the U-Net is told."""
        conditioned = FAMILIES[self.family].conditioned
        if conditioned == "label":
            return int(self.unet.config.projection_class_embeddings_input_dim) // 2
        if conditioned == "image":
            return int(self.unet.config.encoder_hid_dim)
        return int(self.unet.encoder_hid_proj.image_projection_layers[0].image_embeds.in_features)

    @property
    def latent_scale(self) -> int:
        """Pixels a side of a number of the latents."""
        return int(2 ** (len(self.autoencoder.config.block_out_channels) - 1))


def load_pipeline(folder: Path, **instead: Any) -> tuple[str, Any]:
    """Read a pipeline that draws from embeddings, on the CPU in float32; nothing is fetched, only safetensors are read.

    Parameters
    ----------
    folder : Path
        With `model_index.json`, as ``save_pretrained`` writes it.
    **instead
        Parts that stand in the place of the folder's, by name.

    Returns
    -------
    family : str
        See `FAMILIES`.
    pipeline
        Of that family's first class. What makes embeddings of pictures and what checks pictures is left out.

    Raises
    ------
    BundleError
        If a part is missing, is pickled or cannot be read.
    UsageError
        If diffusers is not installed.
    """
    with needs_diffusers():
        import diffusers
        import torch
    family = find_family(folder, leave_out=tuple(instead))
    kind = getattr(diffusers, FAMILIES[family].classes[0])
    aside = (
        dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
        if family != "kandinsky"
        else {}
    )
    if family == "sdxl":
        del aside["safety_checker"]
    with quiet_diffusers(), readable(folder, f"as a {kind.__name__}"):
        pipeline = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=torch.float32,
            variant=None if "unet" in instead else variant_of(folder / "unet"),
            **aside,
            **instead,
        )
    return family, pipeline


def load_networks(folder: Path, said: PipelineFile, *, half: bool = False) -> Networks:
    """Read all networks that `generator.json` names, on the CPU.

    Parameters
    ----------
    folder : Path
        Of the generator.
    said : PipelineFile
    half : bool
        Whether the U-Net and the autoencoder are float16. An autoencoder that overflows in it stays as it is.

    Raises
    ------
    BundleError
        If something is missing, pickled, unreadable, or of another network.
    UsageError
        If diffusers is not installed.
    """
    base = inside(folder, said.pipeline)
    parts = {name: inside(folder, path) for name, path in said.weights.items()}
    # Said before gigabytes are read.
    _check_family(find_family(base, leave_out=tuple(parts)), said, base)
    instead: dict[str, Any] = {}
    with needs_diffusers():
        if "unet" in parts:
            instead["unet"] = load_unet(parts["unet"], base / "unet")
        if "vae" in parts:
            instead["vae"] = load_tiny_autoencoder(parts["vae"])
        family, pipeline = load_pipeline(base, **instead)
        _check_latents(pipeline, said, base)
        if "lora" in parts:
            merge_lora(pipeline.unet, parts["lora"])
        if "adapter" in parts:
            load_adapter(pipeline, parts["adapter"])
    networks = _networks(family, pipeline, said)
    if half:
        networks.unet.half()
        if not getattr(networks.autoencoder.config, "force_upcast", False):
            networks.autoencoder.half()
    return networks


def schedule_of(scheduler: Any) -> VariancePreserving:
    """Return the schedule of a scheduler of diffusers.

    Raises
    ------
    BundleError
        If it is of no table of betas, or of one whose last step is noise alone.
    """
    config = scheduler.config
    table = config.get("beta_schedule", "none")
    if config.get("rescale_betas_zero_snr"):
        raise BundleError(
            f"The {type(scheduler).__name__} ends in noise alone (rescale_betas_zero_snr); from that nothing is drawn "
            "here."
        )
    if config.get("trained_betas") is not None:
        return VariancePreserving(tuple(map(float, config["trained_betas"])))
    n = int(config.get("num_train_timesteps", 1000))
    if table in _TABLES:
        return VariancePreserving(_TABLES[table](n, float(config["beta_start"]), float(config["beta_end"])))
    if table == "squaredcos_cap_v2":
        return VariancePreserving(cosine_betas(n))
    known = ", ".join((*_TABLES, "squaredcos_cap_v2"))
    raise BundleError(
        f"The {type(scheduler).__name__} has the beta_schedule {table!r}; what is drawn from here: {known}."
    )


def _check_family(family: str, said: PipelineFile, folder: Path) -> None:
    """Refuse a recipe, an adapter or an autoencoder of another family of pipelines."""
    if family not in said.how.families:
        raise BundleError(
            f"{said.recipe} is a recipe for {' and '.join(said.how.families)}, and {folder} is of {family}."
        )
    if said.autoencoder and family == "kandinsky":
        raise BundleError(
            f"There is no tiny autoencoder of Kandinsky's latents; leave out {said.autoencoder!r}."
        )
    if FAMILIES[family].conditioned != "adapter":
        if said.adapter:
            raise BundleError(
                f"{folder} is told of embeddings without an adapter; leave out {said.adapter!r}."
            )
    elif not said.adapter:
        raise BundleError(
            f'{folder} is told of embeddings by an IP-Adapter, and none is named: give its file as "adapter".'
        )


def _check_latents(pipeline: Any, said: PipelineFile, folder: Path) -> None:
    """Refuse an autoencoder of other latents than the U-Net's."""
    n_latents = int(getattr(pipeline, "vae", pipeline.unet).config.get("latent_channels", 4))
    if n_latents != pipeline.unet.config.in_channels:
        raise BundleError(
            f"The autoencoder {said.autoencoder or 'vae'!r} has latents of {n_latents} channels, and the U-Net of "
            f"{folder} draws {pipeline.unet.config.in_channels}: they are of different pipelines."
        )


def _networks(family: str, pipeline: Any, said: PipelineFile) -> Networks:
    import torch

    config = pipeline.scheduler.config
    normalizer, noising = None, None
    if family == "unclip":
        normalizer = (pipeline.image_normalizer.mean.detach(), pipeline.image_normalizer.std.detach())
        noising = schedule_of(pipeline.image_noising_scheduler)
    guidance = None
    if (width := pipeline.unet.config.time_cond_proj_dim) is not None:
        # As the pipelines count: no guidance is a scale of 1 and an embedding of 0.
        scale = said.how.guidance if said.guidance is None else said.guidance
        guidance = pipeline.get_guidance_scale_embedding(
            torch.tensor([max(scale - 1, 0)]), embedding_dim=width
        )
    with torch.inference_mode(), quiet_diffusers():
        texts = _texts(family, pipeline, said.side_px)
    return Networks(
        family,
        pipeline.unet.eval().requires_grad_(False),
        (pipeline.movq if family == "kandinsky" else pipeline.vae).eval().requires_grad_(False),
        schedule_of(pipeline.scheduler),
        _PREDICTIONS[config.get("prediction_type", "epsilon")],
        texts,
        normalizer,
        noising,
        guidance,
    )


def _texts(family: str, pipeline: Any, side_px: int) -> "tuple[Mapping[str, Tensor], Mapping[str, Tensor]]":
    """Return what the U-Net is told of an empty text and of none, one row each."""
    import torch

    if family == "kandinsky":
        return {}, {}
    if family == "sdxl":
        states, no_states, pooled, not_pooled = pipeline.encode_prompt("", device="cpu")
        sizes = torch.tensor([[side_px, side_px, 0, 0, side_px, side_px]], dtype=states.dtype)
        return (
            {"states": states, "pooled": pooled, "sizes": sizes},
            {"states": no_states, "pooled": not_pooled, "sizes": sizes},
        )
    states, no_states = pipeline.encode_prompt("", "cpu", 1, True)[:2]
    return {"states": states}, {"states": no_states}
