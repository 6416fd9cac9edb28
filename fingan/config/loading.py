"""Reading and writing configurations: YAML, dotted overrides, helpful refusals."""

from __future__ import annotations

import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fingan.config.faults import faults
from fingan.config.models import Config
from fingan.config.service import ServiceConfig
from fingan.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)

_SPACE = ["tune", "space"]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key given twice is an error: the first would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        # The tag `!!map` may stand before anything; the safe loader refuses what is none.
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands there twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, LookupError) as error:
            # The safe loader takes a tag at its word: `!!timestamp soon`, `!!int ''`.
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r} is not what {tag} says", node.start_mark
            ) from error


def read_yaml(text: str) -> Any:
    """Return what YAML says, of plain values only; a key given twice is an error.

    Raises:
        yaml.YAMLError: anything that is none, whatever PyYAML itself would raise.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except ValueError as error:
        # What looks like a date or a number and is none.
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section model behind an annotation, if there is one."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return models[0] if models else None


def _keys(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    return {f.alias or name: _section(f.annotation) for name, f in model.model_fields.items()}


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, section in _keys(model).items():
        yield f"{prefix}{name}"
        if section is not None:
            yield from _dotted_keys(section, f"{prefix}{name}.")


def _suggestion(path: str, root: type[BaseModel]) -> str:
    """Return the nearest key: the same name in another section, else the closest spelling."""
    known = list(_dotted_keys(root))
    name = path.rpartition(".")[2]
    elsewhere = [k for k in known if k.rpartition(".")[2] == name]
    return nearest(path, elsewhere or known) or (f" Did you mean {elsewhere[0]!r}?" if elsewhere else "")


def _check_keys(
    values: Mapping[str, Any], model: type[BaseModel], root: type[BaseModel], prefix: str = ""
) -> None:
    known = _keys(model)
    for name, value in values.items():
        path = f"{prefix}{name}"
        if name not in known:
            raise ConfigError(f"unknown configuration key {path!r}.{_suggestion(path, root)}")
        section = known[name]
        if section is not None and isinstance(value, Mapping):
            _check_keys(value, section, root, f"{path}.")


def _assign(values: dict[str, Any], override: str) -> None:
    dotted, sign, text = override.partition("=")
    if not sign or not dotted.strip():
        raise ConfigError(f"cannot read the override {override!r}; write section.key=value")
    *parents, last = _path(dotted.strip())
    node = values
    for parent in parents:
        inner = node.get(parent)
        if inner is not None and not isinstance(inner, Mapping):
            got = reprlib.repr(inner)
            raise ConfigError(f"{dotted!r} goes through {parent!r}, which is not a section (got {got})")
        # A copy: the caller's values stay as they are.
        node[parent] = dict(inner or {})
        node = node[parent]
    try:
        node[last] = read_yaml(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"cannot read the value of {dotted!r}: {text!r} ({problem})") from error


def _path(dotted: str) -> list[str]:
    """Return the keys that lead to a value; those of `tune.space` have a dot of their own."""
    keys = dotted.split(".")
    if keys[:2] == _SPACE and len(keys) > 2:
        keys[2:4] = [".".join(keys[2:4])]
    return keys


def from_mapping(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Build a configuration from nested values and `a.b=c` overrides.

    An empty section (`data:` with nothing below it) means its defaults.

    Raises:
        ConfigError: an unknown key (with the nearest known one) or a value out of range.
    """
    return _built(Config, values, overrides)


def load_service(path: str | Path | None = None, overrides: Iterable[str] = ()) -> ServiceConfig:
    """Read the configuration of the service as `load` reads that of a training.

    Raises:
        ConfigError: as `load`.
    """
    return _built(ServiceConfig, {} if path is None else _values(path), overrides)


def _built(root: type[Model], values: Mapping[str, Any], overrides: Iterable[str]) -> Model:
    sections = {name for name, section in _keys(root).items() if section is not None}
    merged = {
        k: dict(v) if isinstance(v, Mapping) else v
        for k, v in values.items()
        if not (v is None and k in sections)
    }
    for override in overrides:
        _assign(merged, override)
    _check_keys(merged, root, root)
    try:
        return root.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"invalid configuration: {faults(error, merged)}") from error


def load(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read `path` (defaults when None) and apply `a.b=c` overrides.

    A relative `data.schema` in the file is relative to the file, in an override to the working
    directory.

    Raises:
        ConfigError: an unreadable file, a file that is not YAML, or as `from_mapping`.
    """
    if path is None:
        return from_mapping({}, overrides)
    return from_mapping(_beside(_values(path), Path(path)), overrides)


def _values(path: str | Path) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {error}") from error
    try:
        values = read_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{str(path)!r} is not YAML: {error}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{str(path)!r} must hold a mapping of sections, not {type(values).__name__}")
    return values


def _beside(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Read a relative `data.schema` from the folder of the configuration that names it."""
    data = values.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("schema"), str):
        return values
    return {**values, "data": {**data, "schema": str((path.parent / data["schema"]).absolute())}}


def to_mapping(config: Config) -> dict[str, Any]:
    """Return the plain values that `from_mapping` reads back to an equal configuration."""
    return config.model_dump(mode="json", by_alias=True)


def to_yaml(config: Config) -> str:
    """Write a configuration as YAML that `load` reads back to an equal one."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False, allow_unicode=True, width=100)
