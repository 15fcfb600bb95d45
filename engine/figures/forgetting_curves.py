"""The page on forgetting, put together: what is forgotten, and why."""

from dataclasses import replace

from engine.figures import forgetting_runs, forgetting_why

PARTS = (forgetting_runs, forgetting_why)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)
FIRST = VIEWS[0]
THUMB = replace(
    FIRST, name="thumb", panels=lambda cfg: [replace(FIRST.panels(cfg)[0], axes=False)], uploads={}, bare=True
)
