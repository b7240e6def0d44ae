"""Regions of interest of a decoder's voxels: named, combined, and looked up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError, did_you_mean
from decode_stream.stream.types import IntArray

__all__ = ["Atlas", "Regions"]


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """The regions of one atlas in some voxels.

    Attributes
    ----------
    labels : array of shape (n_voxels,), int64
        0 for voxels in no region, else the place of the region's name, counted from 1.
    names : tuple of str

    Raises
    ------
    ValueError
        If a label has no name, or two regions have the same.
    """

    labels: IntArray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or any("," in name for name in self.names):
            raise ValueError(f"The regions of an atlas need names that differ, without commas: {self.names}.")
        if self.labels.ndim != 1 or not 0 <= self.labels.min(initial=0) <= self.labels.max(initial=0) <= len(
            self.names
        ):
            raise ValueError(f"Labels run from 0 to the {len(self.names)} names, one a voxel.")

    @classmethod
    def of(cls, values: IntArray, names: Mapping[int, str]) -> "Atlas":
        """Return the atlas of label values as files hold them.

        Parameters
        ----------
        values : array of shape (n_voxels,), int64
            Those above 0 are regions.
        names : mapping of int to str
            By value; one without a name is called by its number.
        """
        found = np.unique(values[values > 0])
        called = list[str]()
        for value in found.tolist():
            name = names.get(value, str(value)).replace(",", " ")
            called.append(f"{name} ({value})" if name in called else name)
        labels = np.where(values > 0, np.searchsorted(found, values) + 1, 0)
        return cls(labels.astype(np.int64), tuple(called))


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The atlases of some voxels.

    Attributes
    ----------
    atlases : mapping of str to Atlas
        By name; all of the same voxels.

    Raises
    ------
    ValueError
        If they are of different numbers of voxels.
    """

    atlases: Mapping[str, Atlas]

    def __post_init__(self) -> None:
        if len({len(atlas.labels) for atlas in self.atlases.values()}) > 1:
            raise ValueError("The atlases are of different numbers of voxels.")

    def of(self, places: IntArray) -> "Regions":
        """Return those of some voxels, in the order of their places."""
        return Regions({name: Atlas(a.labels[places], a.names) for name, a in self.atlases.items()})

    def named(self, atlas: str | None = None) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the mask of every region that holds a voxel, by ``ATLAS=REGION``.

        Parameters
        ----------
        atlas : str or None
            Of this one alone.

        Raises
        ------
        UsageError
            If there is no such atlas.
        """
        chosen = self.atlases if atlas is None else {atlas: self._atlas(atlas)}
        return {
            f"{name}={region}": mask
            for name, one in chosen.items()
            for label, region in enumerate(one.names, start=1)
            if (mask := one.labels == label).any()
        }

    def mask(self, asked: str) -> npt.NDArray[np.bool_]:
        """Return which voxels lie in what is asked for, shape (n_voxels,), bool.

        Parameters
        ----------
        asked : str
            An atlas as a whole (``nsdgeneral``), or regions of one (``prf-visualrois=V1v,V1d``).

        Raises
        ------
        UsageError
            If there is no such atlas or region, or none of the voxels lies in it.
        """
        name, _, wanted = asked.partition("=")
        atlas = self._atlas(name.strip())
        if not wanted:
            mask = atlas.labels > 0
        else:
            mask = np.isin(atlas.labels, [_label(cell.strip(), atlas, name) for cell in wanted.split(",")])
        if not mask.any():
            raise UsageError(
                f"None of the {len(mask)} voxels lies in {asked}. Those that hold some are: "
                f"{', '.join(self.named(name.strip())) or 'none'}."
            )
        return np.asarray(mask)

    def _atlas(self, name: str) -> Atlas:
        by_folded = {known.casefold(): atlas for known, atlas in self.atlases.items()}
        if (atlas := by_folded.get(name.casefold())) is not None:
            return atlas
        within = [region for region in self.named() if region.casefold().endswith(f"={name.casefold()}")]
        hint = f" Did you mean {within[0]}?" if within else did_you_mean(name, self.atlases)
        raise UsageError(
            f"There is no atlas {name!r}.{hint} There are: {', '.join(self.atlases) or 'none'}. Write an atlas, or "
            "regions of one, as in streams=ventral."
        )


def _label(cell: str, atlas: Atlas, name: str) -> int:
    for label, region in enumerate(atlas.names, start=1):
        if region.casefold() == cell.casefold():
            return label
    raise UsageError(
        f"The atlas {name} has no region {cell!r} here.{did_you_mean(cell, atlas.names)} It has: "
        f"{', '.join(atlas.names) or 'none'}."
    )
