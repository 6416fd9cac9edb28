"""The page of the configuration has every key of both files, as the models describe it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from fingan.config import Config, load_service
from fingan.config.service import OidcConfig, ServiceConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def keys(section: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield a line of the table for each key of a section and of those inside it."""
    plain = section.model_dump(mode="json", by_alias=True)
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from keys(value, f"{key}.")
        else:
            shown = plain[field.alias or name]
            yield line(key, shown if isinstance(shown, str) else json.dumps(shown), field.description)


def line(key: str, default: str, description: str | None) -> str:
    assert description, f"{key} is not described"
    return f"| `{key}` | {default} | {description} |"


def expected() -> list[str]:
    provider = [
        line(
            f"auth.oidc.{name}",
            "required" if field.is_required() else json.dumps(field.default).strip('"'),
            field.description,
        )
        for name, field in OidcConfig.model_fields.items()
    ]
    return [*keys(Config()), *keys(ServiceConfig()), *provider]


def test_every_key_stands_there_with_its_default_and_its_description():
    rows = re.findall(r"^\| `.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == expected()


def test_the_example_of_the_service_is_read(tmp_path: Path):
    (example,) = re.findall(
        r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    file = tmp_path / "service.yaml"
    file.write_text(example, encoding="utf-8")
    provider = load_service(file).auth.oidc
    assert provider is not None
    assert provider.models_claim == "models"
