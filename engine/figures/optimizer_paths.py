"""The page on optimizers, put together: paths on a surface, what is proved of them, and a real network's landscape."""

from dataclasses import replace

from engine.figures import optimizer_landscape, optimizer_race, optimizer_theory

PARTS = (optimizer_race, optimizer_theory, optimizer_landscape)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)
THUMB = replace(
    optimizer_race.RACE,
    name="thumb",
    panels=lambda cfg: [replace(optimizer_race.of_race(cfg)[0], axes=False)],
    bare=True,
)
