r"""`fingan sample` as a job: draw rows on all nodes, or a single file on the node that runs the job.

    ray job submit --working-dir . -- python -m ray_jobs.sample name --registry /shared/registry \
        -n 1000000000 -o /shared/rows/
"""

from __future__ import annotations

from ray_jobs.command import run

if __name__ == "__main__":
    run("sample", ("--address", "auto"))
