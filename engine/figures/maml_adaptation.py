"""The page on learning to learn, put together."""

from dataclasses import replace

from engine.figures import maml_glyphs, maml_gradient, maml_sinusoids
from engine.maml_adaptation.train import Glance

PARTS = (maml_sinusoids, maml_gradient, maml_glyphs)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)
THUMB = replace(
    maml_sinusoids.META, name="thumb", config=Glance, bare=True, follow=False,
    panels=lambda cfg: [replace(maml_sinusoids.META.panels(cfg)[0], axes=False)],
)  # fmt: skip
