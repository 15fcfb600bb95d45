"""How does noise become data?"""

from engine.figures.diffusion_denoising import SCENES, VIEWS
from pages import topic_page

topic_page("diffusion_denoising", VIEWS, SCENES)
