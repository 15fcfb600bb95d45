"""The page on adversarial examples, put together: one image, many, the budgets, and how to defend or to poison."""

from dataclasses import replace

from engine.figures import adversarial_attack, adversarial_defence

PARTS = (adversarial_attack, adversarial_defence)
VIEWS = tuple(view for part in PARTS for view in part.VIEWS)
SCENES = tuple(scene for part in PARTS for scene in part.SCENES)
BALL = next(view for view in VIEWS if view.name == "ball")
THUMB = replace(
    BALL, name="thumb", panels=lambda cfg: [replace(BALL.panels(cfg)[0], axes=False)], uploads={}, bare=True
)
