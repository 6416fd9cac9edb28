"""Searches for settings: what may vary, what was found, which setting can be relied on. Knows no Ray."""

from fingan.search.ranking import Finalist, failure_bound, ranked
from fingan.search.record import Curve, Record, Trial, read_record, write_record
from fingan.search.space import Params, SearchSpace
from fingan.search.warm import read_settings, settings_of

__all__ = [
    "Curve",
    "Finalist",
    "Params",
    "Record",
    "SearchSpace",
    "Trial",
    "failure_bound",
    "ranked",
    "read_record",
    "read_settings",
    "settings_of",
    "write_record",
]
