"""How each kind of diffusion pipeline is meant to be run: its sampler, its steps, its guidance.

The networks were trained for certain steps of the table of betas and know no others; these are the facts of their
authors, in one table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .denoisers import Prediction

__all__ = ["FAMILIES", "RECIPES", "Family", "Recipe"]


@dataclass(frozen=True, slots=True)
class Family:
    """Pipelines of one architecture.

    Attributes
    ----------
    classes : tuple of str
        Of diffusers, as ``model_index.json`` names them; the first one loads them all.
    parts : tuple of str
        Folders that are needed. The autoencoder stands last.
    conditioned : {"adapter", "label", "image"}
        How its U-Net is told of an embedding: by an IP-Adapter, as a class label, or as the image.
    """

    classes: tuple[str, ...]
    parts: tuple[str, ...]
    conditioned: Literal["adapter", "label", "image"]


_TEXT = ("text_encoder", "tokenizer")

#: By name: Stable Diffusion 1 and 2, SDXL, Stable unCLIP 2.1, and the decoder of Kandinsky 2.2.
FAMILIES = {
    "sd": Family(
        ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"),
        ("unet", "scheduler", *_TEXT, "vae"),
        "adapter",
    ),
    "sdxl": Family(
        ("StableDiffusionXLPipeline",),
        ("unet", "scheduler", *_TEXT, "text_encoder_2", "tokenizer_2", "vae"),
        "adapter",
    ),
    "unclip": Family(
        ("StableUnCLIPImg2ImgPipeline",),
        ("unet", "scheduler", *_TEXT, "image_normalizer", "image_noising_scheduler", "vae"),
        "label",
    ),
    "kandinsky": Family(("KandinskyV22Pipeline",), ("unet", "scheduler", "movq"), "image"),
}

#: A consistency model is trained between this many steps of the table.
_CONSISTENCY_STEPS = 50
_ANY = tuple(range(1, 101))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How pipelines are run.

    Attributes
    ----------
    families : tuple of str
        Of which families.
    sampler : {"euler", "ancestral", "consistency"}
    spacing : {"trailing", "consistency"}
        Evenly from the last step of the table down, or as latent consistency models choose among the steps that they
        were trained between.
    can : tuple of int
        In how many steps.
    usual : tuple of int
        In how many steps where the file of a generator does not say.
    guidance : float
        Scale of classifier-free guidance; 1 asks no unconditional network.
    explicit : mapping of int to tuple of int
        The steps of the table where the authors name them, by how many there are.
    in_place : bool
        Whether it needs weights of its own, in the place of the pipeline's U-Net (``unet``) or added to it (``lora``).
    of_one_count : bool
        Whether weights are for one number of steps and no other.
    one_step_predicts : {"noise", "clean"} or None
        What the network of one step predicts, where it is not what the pipeline's scheduler says.
    """

    families: tuple[str, ...]
    sampler: Literal["euler", "ancestral", "consistency"]
    spacing: Literal["trailing", "consistency"]
    can: tuple[int, ...]
    usual: tuple[int, ...]
    guidance: float = 1.0
    explicit: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    in_place: bool = False
    of_one_count: bool = False
    one_step_predicts: Prediction | None = None

    def table_steps(self, n_steps: int, n_table: int, first: float = 1.0) -> tuple[int, ...]:
        """Return the steps of a table of betas that are taken, the noisiest first.

        Parameters
        ----------
        n_steps : int
        n_table : int
            Betas in the table, 1000 as a rule.
        first : float
            From which share of the table down, where drawing begins with a layout.

        Raises
        ------
        ValueError
            If there are fewer steps between than are asked for.
        """
        if n_steps in self.explicit:
            return self.explicit[n_steps]
        if self.spacing == "trailing":
            steps = tuple(round(n_table * first * (n_steps - k) / n_steps) - 1 for k in range(n_steps))
        else:
            known = range(n_table // _CONSISTENCY_STEPS - 1, n_table, n_table // _CONSISTENCY_STEPS)
            usable = known[: int(len(known) * first)][::-1]
            steps = tuple(usable[len(usable) * k // n_steps] for k in range(n_steps)) if usable else ()
        if len(set(steps)) < n_steps or steps[-1] < 0:
            raise ValueError(f"{n_steps} steps do not fit in {first:g} of a table of {n_table}.")
        return steps


#: By the name that the file of a generator gives.
RECIPES = {
    # Sauer et al. 2023, arXiv 2311.17042.
    "sdxl-turbo": Recipe(("sdxl",), "ancestral", "trailing", (1, 2, 3, 4), (1, 2, 4)),
    # Luo et al. 2023, arXiv 2310.04378 and 2311.05556.
    "lcm": Recipe(
        tuple(FAMILIES), "consistency", "consistency", tuple(range(1, 9)), (1, 2, 4), in_place=True
    ),
    # Lin et al. 2024, arXiv 2402.13929; the network of one step predicts the picture.
    "sdxl-lightning": Recipe(
        ("sdxl",),
        "euler",
        "trailing",
        (1, 2, 4, 8),
        (4,),
        in_place=True,
        of_one_count=True,
        one_step_predicts="clean",
    ),
    # Ren et al. 2024, arXiv 2404.13686: the weights for one to eight steps, which draw one from step 800.
    "hyper-sd": Recipe(
        ("sd", "sdxl"),
        "consistency",
        "consistency",
        tuple(range(1, 9)),
        (1, 2, 4),
        explicit={1: (800,)},
        in_place=True,
    ),
    # Yin et al. 2024, arXiv 2405.14867.
    "dmd2": Recipe(
        ("sdxl",),
        "consistency",
        "consistency",
        (1, 4),
        (4,),
        explicit={1: (399,), 4: (999, 749, 499, 249)},
        in_place=True,
        of_one_count=True,
    ),
    # Rombach et al. 2022; Ramesh et al. 2022, arXiv 2204.06125.
    "unclip": Recipe(("unclip",), "euler", "trailing", _ANY, (20,), 10.0),
    "kandinsky": Recipe(("kandinsky",), "euler", "trailing", _ANY, (25,), 4.0),
    # Ye et al. 2023, arXiv 2308.06721.
    "ip-adapter": Recipe(("sd", "sdxl"), "euler", "trailing", _ANY, (20,), 7.5),
}
