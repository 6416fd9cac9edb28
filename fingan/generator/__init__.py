"""The trained generator: sampling, imputation, loading and saving."""

from fingan.generator.calibrate import calibrate
from fingan.generator.calibration import Calibration, identity
from fingan.generator.engine import BLOCK, Engine
from fingan.generator.model import Generator
from fingan.generator.rare import RareClass
from fingan.generator.refine import fit_density
from fingan.generator.storage import load, save_generator

__all__ = [
    "BLOCK",
    "Calibration",
    "Engine",
    "Generator",
    "RareClass",
    "calibrate",
    "fit_density",
    "identity",
    "load",
    "save_generator",
]
