"""What does a network keep when it may keep only two numbers?"""

from engine.figures.latent_spaces import SCENES, VIEWS
from pages import topic_page

topic_page("latent_spaces", VIEWS, SCENES)
