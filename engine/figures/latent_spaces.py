"""The page on latent spaces, put together: one dial of nine methods, and what makes them work or break."""

from dataclasses import replace

from engine.figures import latent_anatomy, latent_dial

PARTS = (latent_dial, latent_anatomy)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)
THUMB = replace(
    latent_dial.DIAL,
    name="thumb",
    panels=lambda cfg: [replace(latent_dial.DIAL.panels(cfg)[0], axes=False)],
    uploads={},
    bare=True,
)
