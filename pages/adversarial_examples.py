"""How small a change fools a classifier?"""

from engine.figures.adversarial_examples import SCENES, VIEWS
from pages import topic_page

topic_page("adversarial_examples", VIEWS, SCENES)
