"""Can one learn to learn from five examples?"""

from engine.figures.maml_adaptation import SCENES, VIEWS
from pages import topic_page

topic_page("maml_adaptation", VIEWS, SCENES)
