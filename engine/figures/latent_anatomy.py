"""What makes a variational autoencoder work, and what breaks it: views and scenes."""

from math import isfinite, nan
from typing import Any

from engine.figures import latent_anatomy_panels as panels
from engine.figures.brought import pictured, uploaded
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.latent_spaces import between, collapse, factors, holes, learning, pullback, trick

TRICK = View(
    "trick", "How does a gradient get through a sample?", trick.Config, trick.run, panels.of_trick, fps=12,
    readouts=(
        Readout("estimates", lambda f: f.count),
        Readout("exact gradient", lambda f: f.exact, help="By quadrature"),
        Readout("pathwise", lambda f: f.pathwise, "estimate", error=lambda f: f.pathwise_error),
        Readout("score function", lambda f: f.score, "estimate", error=lambda f: f.score_error),
        Readout("variance ratio", lambda f: f.ratio if isfinite(f.ratio) else nan, "estimate",
                help="Of the score function's estimates over that of the pathwise ones, so far"),
        Readout("ratio, exact", lambda f: f.ratio_exact if isfinite(f.ratio_exact) else nan, help="By quadrature"),
    ),
    equation=lambda f, cfg: {
        "exact": f"{f.exact:.3f}", "pathwise": f"{f.pathwise:.3f}", "score": f"{f.score:.3f}",
        "ratio": f"{f.ratio_exact:.3g}" if isfinite(f.ratio_exact) else r"\infty",
    },
    code=(trick.pathwise, trick.score_function, trick.exact),
)  # fmt: skip
COLLAPSE = View(
    "collapse", "When does a dimension go dark?", collapse.Config, collapse.run, panels.of_collapse, fps=16,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("in use: least β", lambda f: cell(f.active, 0), help="Dimensions whose mean varies by more than 0.01"),
        Readout("β = 0.2", lambda f: cell(f.active, 5)),
        Readout("off the exact KL", lambda f: f.off, help="Largest gap to ½ log(λᵢ/σ²) of the best linear network"),
        Readout("−ELBO, least β", lambda f: cell(f.bound, 0), "estimate", help="Nats a picture, of either sign"),
    ),
    equation=lambda f, cfg: {"active": f"{cell(f.active, 5):.0f}", "off": f"{f.off:.3f}"},
    code=(collapse.Family, collapse.exact_kl, collapse.exact_frontier),
)  # fmt: skip
LEARNED: dict[str, Any] = {
    "before": lambda cfg: (learning.learn, cfg.learning),
    "progress": lambda f, cfg: f.progress,
}
HOLES = View(
    "holes", "Is every draw of the prior a picture?", holes.Config, holes.run, panels.of_holes, fps=10, seed="noise",
    readouts=(
        Readout("draws", lambda f: f.count),
        Readout("in holes", lambda f: f.share, "estimate", error=lambda f: f.share_error, percent=True),
        Readout("MMD² to the prior", lambda f: f.mmd2, "estimate", help="Of the codes of all data, q(z)"),
        Readout("of the prior itself", lambda f: f.mmd2_floor, help="The mean of as many draws of the prior"),
        Readout("off, in holes", lambda f: f.hole, "estimate", error=lambda f: f.hole_error,
                help="Distance of the decoded draw to the nearest real picture, root mean square over pixels"),
        Readout("off, elsewhere", lambda f: f.inside, "estimate", error=lambda f: f.inside_error),
    ),
    equation=lambda f, cfg: {"share": f"{100 * f.share:.0f}", "mmd": f"{f.mmd2:.4f}", "floor": f"{f.mmd2_floor:.4f}"},
    code=(holes.Aggregate, holes.to_nearest),
    **LEARNED,
)  # fmt: skip
FACTORS = View(
    "factors", "Which dimension carries what?", factors.Config, factors.run, panels.of_factors, fps=1.5, hold=True,
    before=lambda cfg: (factors.learn, cfg.sweep), progress=lambda f, cfg: f.progress,
    readouts=(
        Readout("β", lambda f: f.beta),
        Readout("MIG", lambda f: f.mig, "estimate", help="Mutual information gap, from 6 000 fresh glyphs"),
        Readout("in use", lambda f: f.active, help="Dimensions with a KL of more than 0.05 nats"),
        Readout("KL", lambda f: float(f.kl.sum()), "estimate", help="Nats a picture, all dimensions together"),
        Readout("squared error", lambda f: f.error, "estimate"),
    ),
    equation=lambda f, cfg: {"beta": f"{f.beta:.2g}", "mig": f"{f.mig:.3f}"},
    code=(factors.information, factors.gaps, factors.traversals),
)  # fmt: skip
BETWEEN = View(
    "between", "What lies between two pictures?", between.Config, between.run, panels.of_between, fps=12, hold=True,
    readouts=(
        Readout("from a real picture: plane", lambda f: f.latent_off,
                help="Distance of the decoded picture to the nearest real one, root mean square over pixels"),
        Readout("pixels", lambda f: f.pixel_off, help="The same of the mix of both ends' pictures"),
        Readout("way so far", lambda f: f.walked, help="Length so far of the way that the decoded picture takes"),
        Readout("change for a step of 1", lambda f: f.stretch,
                help="Root mean square over the pixels, in the steepest direction"),
        Readout("the picture sent: error", lambda f: f.error),
    ),
    equation=lambda f, cfg: {
        "most": f"{f.stretch:.2f}", "least": f"{f.least:.2f}", "walked": f"{f.walked:.2f}",
        "straight": f"{f.straight:.2f}",
    },
    code=(pullback.jacobian, pullback.metric, pullback.ellipses),
    events={"picture": pictured, "pick": lambda event, cfg: {"index": int(event["index"]), "picture": ""}},
    uploads={"Bring a picture": (("png", "jpg", "jpeg"), uploaded)},
    **LEARNED,
)  # fmt: skip
VIEWS = (TRICK, COLLAPSE, FACTORS, HOLES, BETWEEN)
SCENES = (
    Scene("trick", "Same mean, twenty times the variance", "trick", {},
          "Both histograms have their mean on the dashed line; one is narrow, the other nearly five times as wide."),
    Scene("jump", "Where f jumps, slopes know nothing", "trick", {"function": "step", "mu": 0.5},
          "Every slope of a step is 0: the pathwise mean stays at 0, and the exact gradient is elsewhere."),
    Scene("ripple", "On a ripple, the score function wins", "trick",
          {"function": "ripple", "mu": 0.3, "sigma": 0.4},
          "Steep slopes of either sign cancel on average, and each of them is noise."),
    Scene("stairs", "A dimension is lit where λ exceeds σ²", "collapse", {},
          "The stairs are PCA's eigenvalues: to their right a dimension only costs, and goes dark."),
    Scene("bent", "Deep networks get more out of a nat", "collapse", {"network": "deep", "steps": 1000},
          "Below the dashed curve no linear network can get; with hidden layers they do."),
    Scene("holes", "In holes the decoder makes things up", "holes", {},
          "The crosses lie where hardly any data encode; what they decode to is farthest from all real pictures."),
    Scene("filled", "A stronger pull leaves fewer holes", "holes", {"beta": 10.0},
          "The codes cover the prior now, and the pictures pay for it: they are blurred."),
    Scene("sorted", "At β = 0.5 three axes carry one factor each", "factors", {},
          "At the least β a shift is smeared over many dimensions. Go on to β = 0.49; beyond, they go dark."),
    Scene("ghosts", "Halfway, pixels make a ghost", "between", {},
          "The mix of two pictures is two pale pictures; the decoded place halfway is one."),
    Scene("stretch", "One step here is three steps there", "between", {"ellipses": True},
          "Each ellipse holds the places whose picture differs alike: small ones where the picture changes fast."),
)  # fmt: skip
