r"""`fingan evaluate` as a job: measure a model on the node that runs the job.

    ray job submit --working-dir . -- python -m ray_jobs.evaluate name --registry /shared/registry \
        --real train.parquet -o /shared/report.html
"""

from __future__ import annotations

from ray_jobs.command import run

if __name__ == "__main__":
    run("evaluate")
