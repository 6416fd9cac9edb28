"""A large sample as partitioned Parquet on this machine's cores: speed, and whether memory stays constant.

    python -m benchmarks bulk --rows 100000000

A generator of the default size, trained for a few steps, one candidate per row; Ray tasks write the
parts. Memory is that of the driver and of every Ray worker, looked at four times a second.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow.dataset as ds

from benchmarks.command import parser
from benchmarks.markdown import grid
from benchmarks.results import Results, Row
from benchmarks.runs import precisions
from benchmarks.sampling import made
from fingan.cluster.bulk import PartProgress, sample_partitions
from fingan.registry import Registry

MODEL = "default"
MOST_GROWTH = 100 << 20
SETTLED = 0.05
"""Share of the parts after which growth counts."""


class Watch(threading.Thread):
    """Looks at the resident memory of this process and of Ray's workers.

    Attributes:
        settled, most: bytes of the largest worker once parts are being made, and from then on.
        driver_settled, driver_most: the same of this process.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.share, self._over = 0.0, threading.Event()
        self.settled = self.most = self.driver_settled = self.driver_most = 0

    def run(self) -> None:
        """Look until it is over."""
        own = psutil.Process()
        while not self._over.wait(0.25):
            workers = [_resident(p) for p in own.children(recursive=True) if _name(p).startswith("ray::")]
            if self.share >= SETTLED and workers:
                driver, worker = own.memory_info().rss, max(workers)
                self.settled = self.settled or worker
                self.driver_settled = self.driver_settled or driver
                self.most, self.driver_most = max(self.most, worker), max(self.driver_most, driver)

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def measure(rows: int, workers: int, steps: int, folder: Path) -> Row:
    """Write the rows; return speed, size and memory."""
    made("default", steps)[precisions()[0]].save(folder / "bundle")
    Registry(folder / "registry").publish(MODEL, folder / "bundle")
    watch = Watch()
    watch.start()

    def tell(progress: PartProgress) -> None:
        watch.share = progress.rows / progress.planned

    began = time.perf_counter()
    done = sample_partitions(
        folder / "registry", MODEL, rows, folder / "rows", candidates=1, workers=workers, on_progress=tell
    )
    seconds = time.perf_counter() - began
    watch.end()
    return {
        "seconds": seconds,
        "parts": len(done.parts),
        "counted": ds.dataset(folder / "rows").count_rows(),
        "bytes": done.bytes,
        "worker_bytes": watch.most,
        "worker_growth": watch.most - watch.settled,
        "driver_growth": watch.driver_most - watch.driver_settled,
    }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("bulk", __doc__)
    reader.add_argument("--rows", type=int, default=100_000_000)
    reader.add_argument("--workers", type=int, default=2)
    reader.add_argument("--steps", type=int, default=50, help="of training")
    options = reader.parse_args(arguments)
    results = Results("bulk", options.results)
    key = {"rows": options.rows, "workers": options.workers}
    if not results.has(**key):
        folder = Path(tempfile.mkdtemp(prefix="fingan-bulk-"))
        try:
            results.add({**key, **measure(options.rows, options.workers, options.steps, folder)})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(results.rows()))


def table(rows: Sequence[Row]) -> str:
    """Return the results as Markdown."""
    grown_by = "growth of a worker, of the driver, MiB"
    header = ["rows", "workers", "rows/s", "size, GB", "a worker, MiB", grown_by, "constant"]
    lines = []
    for row in rows:
        grown = row["worker_growth"], row["driver_growth"]
        lines.append(
            [
                f"{row['counted']:,}",
                f"{row['workers']}",
                f"{row['rows'] / row['seconds']:,.0f}",
                f"{row['bytes'] / 1e9:.1f}",
                f"{row['worker_bytes'] / 2**20:,.0f}",
                ", ".join(f"{bytes_ / 2**20:,.0f}" for bytes_ in grown),
                "yes" if max(grown) <= MOST_GROWTH and row["counted"] == row["rows"] else "no",
            ]
        )
    return grid(header, lines)
