"""Values given by a user."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fingan.encoding.scalars import read_scalar
from fingan.errors import ConditionError

PARIS = pa.timestamp("us", "Europe/Paris")
FINE = pd.Timestamp("2020-01-01 10:00:00.123456789")
WINTER = dt.datetime(2020, 1, 1, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        (5, pa.int64(), 5),
        ("5", pa.int32(), 5),
        (5.0, pa.int64(), 5),
        (np.int64(5), pa.int64(), 5),
        (" 2.5 ", pa.float64(), 2.5),
        (2, pa.float64(), 2.0),
        (Decimal("0.1"), pa.float64(), 0.1),
        (Decimal("0.5"), pa.float32(), 0.5),
        (Decimal("NaN"), pa.float64(), None),
        (True, pa.bool_(), True),
        ("TRUE", pa.bool_(), True),
        (0, pa.bool_(), False),
        ("1.5", pa.decimal128(9, 2), Decimal("1.50")),
        (1.5, pa.decimal128(9, 2), Decimal("1.50")),
        (7, pa.decimal128(9, 2), Decimal("7.00")),
        ("a b", pa.string(), "a b"),
        (5, pa.string(), "5"),
        ("2020-01-31", pa.date32(), dt.date(2020, 1, 31)),
        (dt.date(2020, 1, 31), pa.date32(), dt.date(2020, 1, 31)),
        (dt.date(2020, 1, 31), pa.timestamp("s"), dt.datetime(2020, 1, 31)),
        ("2020-01-01 10:00", pa.timestamp("us"), dt.datetime(2020, 1, 1, 10)),
        ("2020-01-01 10:00", PARIS, WINTER),
        ("2020-01-01T09:00Z", PARIS, WINTER),
        (dt.datetime(2020, 1, 1, 10), PARIS, WINTER),
        (WINTER, PARIS, WINTER),
        (FINE, pa.timestamp("ns"), FINE),
        (
            FINE.tz_localize("Europe/Paris"),
            pa.timestamp("ns", "Europe/Paris"),
            FINE.tz_localize("Europe/Paris"),
        ),
        (FINE, pa.timestamp("ns", "Europe/Paris"), FINE.tz_localize("Europe/Paris")),
        (FINE.floor("us"), pa.timestamp("us"), FINE.floor("us")),
        (pa.scalar(FINE.value, pa.timestamp("ns")), pa.timestamp("ns"), FINE),
        (dt.datetime(9999, 12, 31), pa.timestamp("us"), dt.datetime(9999, 12, 31)),
        (pa.scalar(3), pa.int64(), 3),
        (None, pa.date32(), None),
        (float("nan"), pa.float64(), None),
        (float("nan"), pa.string(), None),
        (np.float32("nan"), pa.int64(), None),
        ("nan", pa.float64(), None),
        (" NaN", pa.float32(), None),
        ("nan", pa.string(), "nan"),
        (pd.NA, pa.int64(), None),
        (pd.NA, pa.string(), None),
        (pd.NaT, pa.timestamp("us"), None),
        (pd.NaT, PARIS, None),
        (np.datetime64("NaT"), pa.date32(), None),
        (np.datetime64("NaT", "ns"), pa.timestamp("ns"), None),
        (FINE.to_datetime64(), pa.timestamp("ns"), FINE),
        (np.datetime64("2020-01-01T10", "ns"), PARIS, WINTER),
        (np.datetime64("2020-01-31"), pa.date32(), dt.date(2020, 1, 31)),
        (np.datetime64("2020-01-01T10", "h"), pa.timestamp("s"), dt.datetime(2020, 1, 1, 10)),
    ],
)
def test_read(value, kind, wanted):
    found = read_scalar("c", value, kind)
    assert found.type == kind
    assert found.as_py() == wanted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("five", pa.int64()),
        (5.5, pa.int64()),
        (True, pa.int64()),
        (10**30, pa.int64()),
        (300, pa.int8()),
        ("yes", pa.bool_()),
        (2, pa.bool_()),
        ("1.555", pa.decimal128(9, 2)),
        (1.555, pa.decimal128(9, 2)),
        ("x", pa.decimal128(9, 2)),
        (5, pa.date32()),
        (5, pa.timestamp("us")),
        ("soon", pa.timestamp("us")),
        ("soon", PARIS),
        (dt.datetime(2020, 1, 1, 5), pa.date32()),
        (FINE, pa.timestamp("us")),
        (FINE, pa.timestamp("s")),
        (FINE.tz_localize("Europe/Paris"), PARIS),
        (FINE.to_datetime64(), pa.timestamp("us")),
        (FINE.to_datetime64(), pa.int64()),
        (pd.Timestamp("2020-01-01") + pd.Timedelta(1, "ns"), pa.date32()),
        (WINTER, pa.timestamp("us")),
        ([1], pa.int64()),
        ({}, pa.float64()),
        (object(), pa.float64()),
    ],
)
def test_refused(value, kind):
    with pytest.raises(ConditionError, match=r"column 'c' has the type"):
        read_scalar("c", value, kind)
