"""The model card: what a bundle is, what it was measured at, and what it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment

if TYPE_CHECKING:
    from fingan.generator.model import Generator

_TEMPLATE = """# Model card

A generator of synthetic rows for a table of {{ columns | length }} columns, trained by fingan.

## Columns

| column | kind | type | nullable |
|---|---|---|---|
{% for c in columns -%}
| {{ cell(c.name) }} | {{ c.kind }} | {{ c.type }} | {{ "yes" if c.nullable else "no" }} |
{% endfor %}
## Training

{% for name, value in training.items() -%}
- {{ name }}: {{ value }}
{% endfor %}
## Rules kept in every row

{% for rule in rules -%}
- {{ cell(rule) }}
{% else -%}
- none stated
{% endfor %}
## Limits

- The rows follow the distribution of the training table, with its errors and biases.
- No formal privacy guarantee is given: the memorisation checks of the evaluation report are checks.
- The bundle holds values of single columns, rare and extreme ones among them, but never a row.
- Use beyond the population of the training table is not supported by any measurement.
"""


def _cell(text: object) -> str:
    """Return text that cannot leave its table cell or start markup."""
    plain = "".join(ch if ch.isprintable() else " " for ch in str(text))
    for mark in "\\`*_{}[]<>|#":
        plain = plain.replace(mark, "\\" + mark)
    return plain


def model_card(generator: Generator) -> str:
    """Return the card of a generator as Markdown."""
    config = generator.config
    training = {
        "objective": config.objective.name,
        "generator": f"{config.network.generator}, {config.network.width} wide",
        "seed": config.seed,
        "candidates per row": 1 if generator.density is None else config.sampling.candidates,
        "classes with a network of their own": ", ".join(_cell(own.value) for own in generator.rare)
        or "none",
        **{k: v for k, v in generator.metrics.get("training", {}).items() if not isinstance(v, dict | list)},
    }
    # Markdown, not HTML: cells are escaped by `_cell`.
    environment = Environment(autoescape=False)
    return environment.from_string(_TEMPLATE).render(
        columns=generator.schema.columns, training=training, rules=config.data.constraints, cell=_cell
    )
