"""The words a page is written in. A page says which, and in what order; nothing else."""

from pages.words.desk import Desk, opening
from pages.words.frame import contents, dress, foot
from pages.words.knobs import controls, headline, scenes
from pages.words.map import cards, sheet, welcome
from pages.words.reading import downloads, prose, source, uploads, verify
from pages.words.stage import play
from pages.words.whole import topic_page

__all__ = [
    "Desk",
    "cards",
    "contents",
    "controls",
    "downloads",
    "dress",
    "foot",
    "headline",
    "opening",
    "play",
    "prose",
    "scenes",
    "sheet",
    "source",
    "topic_page",
    "uploads",
    "verify",
    "welcome",
]
