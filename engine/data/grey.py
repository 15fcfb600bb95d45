"""One picture of any kind, as shades of grey in a small square."""

import io

import numpy as np
from PIL import Image, ImageOps

PIXELS = 20_000_000  # of a picture, before it is made small
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM", "TIFF")


def read_picture(data: bytes, side: int = 28) -> tuple[np.ndarray, int]:
    """One picture's brightness (side, side) float32 in 0..1, and how many frames the file has. Raises ValueError."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("Saw a picture of far more than 20 megapixels, expected at most that.") from None
    except Exception as broken:  # a format's reader may fail in its own way on damaged bytes
        raise ValueError(f"Saw {_seen(data)}, expected a PNG, JPEG, GIF, WebP, BMP or TIFF picture.") from broken
    if image.width * image.height > PIXELS:
        raise ValueError(f"Saw a picture of {image.width}×{image.height} pixels, expected at most 20 megapixels.")
    try:
        frames = getattr(image, "n_frames", 1)
        image.draft("L", (8 * side, 8 * side))
        return fitted(brightness(ImageOps.exif_transpose(image), 8 * side), side), frames
    except Exception as broken:
        raise ValueError(f"Saw a damaged {image.format} picture, expected a whole one.") from broken


def _seen(data: bytes) -> str:
    start = data[:24].decode("ascii", "replace")
    return f"a file that begins with “{start}”" if start.isprintable() else f"{len(data):,} bytes of something else"


def brightness(image: Image.Image, most: int = 512) -> np.ndarray:
    """Any mode of picture -> (h, w) float32 in 0..1, at most `most` pixels a side where its shades are of one byte.

    What is transparent becomes white, or black where the rest is light.
    """
    if image.mode[0] in "IF":
        deep = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        low, high = (0.0, 65535.0) if image.mode[0] == "I" and deep.max() > 255 else (deep.min(), deep.max())
        return ((deep - low) / max(high - low, 1e-9)).clip(0, 1)
    clear = "A" in image.mode or "transparency" in image.info
    image = image.convert("RGBA" if clear else "RGB")
    image.thumbnail((most, most))
    if not clear:
        return np.asarray(image.convert("L"), np.float32) / 255
    both = np.asarray(image.convert("LA"), np.float32) / 255
    light, alpha = both[..., 0], both[..., 1]
    paper = float((light * alpha).sum() < 0.5 * alpha.sum())
    return light * alpha + paper * (1 - alpha)


def fitted(grey: np.ndarray, side: int) -> np.ndarray:
    """(h, w) -> (side, side): the longer side scaled to fit, the rest filled with what most of the edge shows."""
    height, width = grey.shape
    scale = side / max(height, width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    filter = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(grey.astype(np.float32)).resize(size, filter))
    out = np.full((side, side), edge(grey), np.float32)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small.clip(0, 1)
    return out


def edge(grey: np.ndarray) -> float:
    """What most of the picture's edge shows: (h, w) -> a shade."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
