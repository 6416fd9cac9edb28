r"""`fingan train` as a job: train on the workers of this cluster.

    ray job submit --working-dir . -- python -m ray_jobs.train data.parquet --target y \
        --registry /shared/registry --workers 8
"""

from __future__ import annotations

from ray_jobs.command import run

if __name__ == "__main__":
    run("train", ("--address", "auto"))
