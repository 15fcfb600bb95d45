"""A picture that the visitor draws or brings, as settings."""

from collections.abc import Mapping
from typing import Any

from engine.data import drawing, grey


def pictured(event: Mapping[str, Any], cfg: Any) -> dict[str, Any]:
    """The settings that a drawn picture makes. Raises ValueError for an empty one."""
    return {"picture": drawing.taken(event["pixels"], event["size"])}


def uploaded(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """The settings that a picture file makes, and what should be known of it. Raises ValueError."""
    picture, frames = grey.read_picture(content, drawing.SIDE)
    picture = 1 - picture if grey.edge(picture) > 0.5 else picture
    notes = ["The file is animated; its first picture was taken."] if frames > 1 else []
    if picture.max() < 0.06:
        raise ValueError("Saw a picture of a single shade, expected ink on paper.")
    return {"picture": drawing.encode_picture(picture / picture.max())}, notes
