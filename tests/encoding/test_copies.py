"""The map from a source's score to the copying column's is what real rows show."""

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from fingan.data import infer_schema
from fingan.encoding.fit import fit_encoder
from fingan.rng import numpy_generator

ROWS = 4000


def chain() -> pa.Table:
    """`second` repeats `first` in a third of the rows, `third` repeats `second` in a third."""
    r = numpy_generator(5, "chain")
    first = r.lognormal(8, 1, ROWS).round(2)
    second = np.where(r.random(ROWS) < 0.33, first, r.lognormal(8, 1, ROWS).round(2))
    third = np.where(r.random(ROWS) < 0.33, second, r.lognormal(8, 1, ROWS).round(2))
    return pa.table({"first": first, "second": second, "third": third, "kind": r.choice(["a", "b"], ROWS)})


def test_maps_send_sources_where_real_rows_have_the_copies():
    table = chain()
    encoder = fit_encoder(table, infer_schema(table))
    fields = encoder.encode(table)
    scores = ndtri(np.clip(fields.lower + 0.5 * fields.width, 1e-6, 1 - 1e-6))
    maps = encoder.layout.copies
    assert len(maps) == 2
    for copy in maps:
        for code, (source, line) in enumerate(zip(copy.sources, copy.scores, strict=True), start=1):
            copied = (fields.codes[:, copy.relation] == code) & (np.abs(scores[:, source]) < 3)
            assert copied.sum() > 0.2 * ROWS
            grid = np.linspace(-copy.reach, copy.reach, line.size)
            there = np.interp(scores[copied, source], grid, line)
            off = np.abs(there - scores[copied, copy.target])
            assert np.quantile(off, 0.5) < 0.005
            assert np.quantile(off, 0.98) < 0.05


def test_sources_come_before_what_repeats_them():
    table = chain()
    maps = fit_encoder(table, infer_schema(table)).layout.copies
    done = {c.target for c in maps}
    for copy in reversed(maps):
        done.discard(copy.target)
        assert all(source in done or source not in {c.target for c in maps} for source in copy.sources)


def test_tables_without_copies_have_no_maps():
    table = chain().select(["first", "kind"])
    assert fit_encoder(table, infer_schema(table)).layout.copies == ()
