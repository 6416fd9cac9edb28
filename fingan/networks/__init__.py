"""Networks: residual ones for tables, and the textbook pair beside them."""

from fingan.networks.batch import Batch, Scores
from fingan.networks.features import RowFeatures
from fingan.networks.heads import StraightThroughHead
from fingan.networks.layers import ema_update
from fingan.networks.memory import keep_freed_memory
from fingan.networks.tabular import (
    TabularDiscriminator,
    TabularGenerator,
    build_discriminator,
    build_generator,
)
from fingan.networks.textbook import ConvDiscriminator, ConvGenerator, DenseDiscriminator, DenseGenerator

__all__ = [
    "Batch",
    "ConvDiscriminator",
    "ConvGenerator",
    "DenseDiscriminator",
    "DenseGenerator",
    "RowFeatures",
    "Scores",
    "StraightThroughHead",
    "TabularDiscriminator",
    "TabularGenerator",
    "build_discriminator",
    "build_generator",
    "ema_update",
    "keep_freed_memory",
]
