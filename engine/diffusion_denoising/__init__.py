"""Diffusion denoising in the plane and on small pictures: schedules, `add_noise`, `train`, samplers, exact scores."""

from engine.diffusion_denoising.learn import train
from engine.diffusion_denoising.model import PREDICTION_TYPES, Denoiser, predict_noise
from engine.diffusion_denoising.samplers import SAMPLERS, annealed_langevin, ddim, ddpm, heun, last, normal
from engine.diffusion_denoising.schedules import BETA_SCHEDULES, Schedule, add_noise, schedule

__all__ = [
    "BETA_SCHEDULES",
    "PREDICTION_TYPES",
    "SAMPLERS",
    "Denoiser",
    "Schedule",
    "add_noise",
    "annealed_langevin",
    "ddim",
    "ddpm",
    "heun",
    "last",
    "normal",
    "predict_noise",
    "schedule",
    "train",
]
