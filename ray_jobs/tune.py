r"""`fingan tune` as a job: search on the workers of this cluster.

    ray job submit --working-dir . -- python -m ray_jobs.tune data.parquet --target y \
        --registry /shared/registry --trials 40
"""

from __future__ import annotations

from ray_jobs.command import run

if __name__ == "__main__":
    run("tune", ("--address", "auto"))
