"""How far can one step before one falls off?"""

from engine.figures.optimizer_paths import SCENES, VIEWS
from pages import topic_page

topic_page("optimizer_paths", VIEWS, SCENES)
