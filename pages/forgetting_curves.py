"""Why does learning the new erase the old?"""

from engine.figures.forgetting_curves import SCENES, VIEWS
from pages import topic_page

topic_page("forgetting_curves", VIEWS, SCENES)
