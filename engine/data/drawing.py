"""A picture that a visitor draws, as letters that a link can hold, and fitted to the pictures of a data set."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 28  # pixels of a drawing
TALL = {28: 20, 8: 8}  # pixels of the longer side of the ink, by the side of the picture
SMALLEST = 6  # pixels of a drawing below which its ink is not blown up further
LETTERS = -(-SIDE * SIDE * 4 // 6)  # of a drawing's code: four bits a pixel, six a letter


def encode_picture(picture: np.ndarray) -> str:
    """A drawing (28, 28) in [0, 1] as 523 letters that a link can hold, 16 shades a pixel; "" for a blank one.

    Raises ValueError for another shape, or for what is not a number.
    """
    if picture.shape != (SIDE, SIDE) or not np.isfinite(picture).all():
        raise ValueError(f"saw a drawing of shape {picture.shape}; expected ({SIDE}, {SIDE}) finite numbers")
    shades = np.rint(np.clip(picture, 0, 1) * 15).astype(np.uint8).reshape(-1, 2)
    packed = (shades[:, 0] << 4 | shades[:, 1]).tobytes()
    return urlsafe_b64encode(packed).decode().rstrip("=") if shades.any() else ""


def decode_picture(code: str) -> np.ndarray:
    """The drawing (28, 28) float32 in [0, 1] that the code stands for. Raises ValueError for what is no such code."""
    if len(code) != LETTERS:
        raise ValueError(f"saw {len(code)} letters; expected the {LETTERS} of a drawing")
    odd = sorted(letter for letter in set(code) if not (letter.isascii() and (letter.isalnum() or letter in "-_")))
    if odd:
        raise ValueError(f"saw the letter {odd[0]!r}; expected only a-z, A-Z, 0-9, - and _")
    packed = np.frombuffer(urlsafe_b64decode(code + "=" * (-LETTERS % 4)), np.uint8)
    return (np.stack([packed >> 4, packed & 15], 1).reshape(SIDE, SIDE) / 15).astype(np.float32)


def check_picture(code: str) -> str:
    """The code itself, in its one spelling; "" stays. Raises ValueError with a sentence for what is no such code."""
    return encode_picture(decode_picture(code)) if code else ""


def taken(pixels: Sequence[int], size: int) -> str:
    """The code of what a visitor drew: size * size shades in 0..255, row by row. Raises ValueError for nothing."""
    picture = np.asarray(pixels, float).reshape(size, size) / 255
    if not picture.any():
        raise ValueError("Nothing was drawn; draw a digit, then press “Use it”.")
    return encode_picture(picture)


def centred(ink: np.ndarray, side: int) -> np.ndarray:
    """The ink (h, w) in [0, 1] cropped, scaled to the size that the data have, and centred: (side, side) float32."""
    rows, columns = (np.flatnonzero((ink > 0.3 * ink.max()).any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((side, side), np.float32)
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = TALL[side] / max(*crop.shape, SMALLEST * max(ink.shape) / SIDE)
    height, width = (max(1, round(scale * length)) for length in crop.shape)
    small = Image.fromarray(crop.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    picture, top, left = np.zeros((side, side), np.float32), (side - height) // 2, (side - width) // 2
    picture[top : top + height, left : left + width] = np.asarray(small).clip(0, 1)
    return picture / max(float(picture.max()), 1e-6)
