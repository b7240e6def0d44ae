"""A picture from a file, as RGB, whatever it was stored as; or why not."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from decode_stream.stream.errors import UsageError

from .scenes import Picture, encode_png

__all__ = ["SUFFIXES", "decode_picture", "read_picture", "thumbnail"]

#: What files of pictures end in.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

_FULL_16_BIT = 65535


def read_picture(path: Path) -> Picture:
    """Return a picture as RGB, turned upright as its camera says.

    Grey pictures, palettes, CMYK and 16-bit grey are converted; what is transparent lies on white; of several frames
    the first is taken.

    Returns
    -------
    array of shape (height, width, 3), uint8

    Raises
    ------
    UsageError
        If the file is missing, empty, cut off, too large, or no picture.
    """
    try:
        held = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}. Copy it again, or take it away."
        ) from error
    return decode_picture(held, path)


def decode_picture(held: bytes, path: Path) -> Picture:
    """Return the picture in a file's bytes, as `read_picture` does.

    Parameters
    ----------
    held : bytes
        All of the file.
    path : Path
        Its name, for messages.
    """
    if not held:
        raise UsageError(f"{path} is empty (0 bytes). Copy it again, or take it away.")
    try:
        with warnings.catch_warnings():
            # Of a size that only a mistake or an attack has.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # What a camera wrote beside the picture does not matter here.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*")
            with Image.open(io.BytesIO(held)) as file:
                file.load()
                return np.asarray(_as_rgb(ImageOps.exif_transpose(file), path))
    except UnidentifiedImageError:
        raise UsageError(
            f"{path} is no picture that can be read, whatever its name says. Save it anew as PNG or JPEG, or take it "
            "away."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UsageError(
            f"{path} is too large: {error} Save it smaller; a side of 1000 pixels is plenty."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}. It may be cut off; copy it again, or take it away."
        ) from error


def _as_rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float64)
        if values.min() < 0 or values.max() > _FULL_16_BIT:
            raise UsageError(f"{path} holds grey values beyond 16 bits. Save it as an 8-bit PNG.")
        return Image.fromarray(np.rint(values * 255 / _FULL_16_BIT).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise UsageError(
            f"{path} holds floating-point values, whose black and white are not known. Save it as an 8-bit PNG."
        )
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def thumbnail(picture: Picture, side_px: int) -> bytes:
    """Return a picture as a PNG whose longer side is `side_px`.

    Parameters
    ----------
    picture : array of shape (height, width, 3), uint8
    """
    image = Image.fromarray(picture)
    scale = side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return encode_png(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
