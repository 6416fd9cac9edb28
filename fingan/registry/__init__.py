"""Bundles, the deployable artefact, and the registry that publishes them by name and version."""

from fingan.registry.bundle import Bundle, read_bundle, write_bundle
from fingan.registry.manifest import Manifest
from fingan.registry.names import LATEST, Ref, check_name
from fingan.registry.storage import is_url
from fingan.registry.store import Registry

__all__ = [
    "LATEST",
    "Bundle",
    "Manifest",
    "Ref",
    "Registry",
    "check_name",
    "is_url",
    "read_bundle",
    "write_bundle",
]
