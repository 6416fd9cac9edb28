"""`serve.app:build`: the sampling service as a Ray Serve application.

serve run serve.app:build registry=/shared/registry auth.token_file=/shared/tokens.yaml
serve deploy serve/config.yaml
"""

from __future__ import annotations

from typing import Any

from fingan.cluster.bulk import JobWriter
from fingan.config import ServiceConfig
from fingan.service.deployment import application
from fingan.service.jobs import JobBook


def build(args: ServiceConfig) -> Any:
    """Return the application.

    Args:
        args: the configuration, from the command line or the `args` of a deployment file.
    """
    writer = JobWriter(args.registry, args.limits.job_parts)
    return application(args, jobs=lambda: JobBook.of(args, writer))
