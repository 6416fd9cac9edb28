"""Array aliases. Letters: N rows of a table, B rows of a batch, D dense width,
F numeric fields, C categorical fields, M conditioning units, Z noise width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]
Json = dict[str, Any]
