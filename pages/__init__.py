"""The words a page is written in. A page says which, and in what order; nothing else.

Words are loaded when they are first used: the home page paints before the engine is there.
"""

from importlib import import_module
from typing import Any

WORDS = {
    "frame": ("contents", "dress", "foot"),
    "map": ("cards", "live", "sheet", "welcome"),
    "whole": ("topic_page",),
}


def __getattr__(word: str) -> Any:
    for room, words in WORDS.items():
        if word in words:
            return getattr(import_module(f"pages.words.{room}"), word)
    raise AttributeError(f"there is no word “{word}”; expected one of {sorted(sum(WORDS.values(), ()))}")
