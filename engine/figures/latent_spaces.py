"""The page on latent spaces, put together: one dial of nine methods, and what makes them work or break."""

from dataclasses import replace

from engine.figures import latent_anatomy, latent_dial
from engine.figures.panel import Panel

PARTS = (latent_dial, latent_anatomy)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)


def small(panel: Panel) -> Panel:
    """The latent plane without axes, and without what only the pointer shows: a thumbnail travels light."""
    return replace(
        panel, axes=False, layers=tuple(layer for layer in panel.layers if layer.kind not in ("atlas", "metric"))
    )


THUMB = replace(
    latent_dial.DIAL,
    name="thumb",
    panels=lambda cfg: [small(latent_dial.DIAL.panels(cfg)[0])],
    uploads={},
    bare=True,
)
