"""The façade: fit, sample, impute, evaluate, save."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

import fingan
from fingan.errors import ConfigError, DataError, NotAvailable, UserError
from fingan.training import Run
from tests.tiny import SETTINGS, arrow, config, frame


@pytest.fixture(scope="module")
def fitted() -> fingan.Synthesizer:
    return fingan.Synthesizer(target="label", overrides=SETTINGS).fit(frame())


def test_fit_returns_itself_and_samples_a_frame(fitted):
    rows = fitted.sample(200, where={"label": "bad"}, seed=1)
    assert isinstance(rows, pd.DataFrame)
    assert list(rows.columns) == list(frame().columns)
    assert set(rows["label"]) == {"bad"}
    parts = [fitted.sample(100, {"label": "bad"}, seed=1, offset=offset) for offset in (0, 100)]
    assert rows.equals(pd.concat(parts, ignore_index=True))


def test_the_same_table_in_another_form_gives_the_same_generator(fitted, tmp_path):
    path = tmp_path / "table.parquet"
    frame().to_parquet(path, index=False)
    again = fingan.Synthesizer(config=config()).fit(path)
    assert again.sample(100, seed=3).equals(fitted.sample(100, seed=3))


def test_save_and_load_keep_the_rows(fitted, tmp_path):
    fitted.save(tmp_path / "bundle")
    loaded = fingan.load(tmp_path / "bundle")
    assert loaded.sample(50, seed=2).to_pandas().equals(fitted.sample(50, seed=2))


def test_impute_gives_a_frame_without_gaps(fitted):
    torn = frame().head(100)
    torn.loc[5:20, "city"] = None
    filled = fitted.impute(torn, ["city"])
    assert filled["city"].notna().all()
    assert filled["customer"].tolist() == torn["customer"].tolist()


def test_whole_numbers_beside_nulls_are_not_rounded():
    large = 2**60 + 1
    table = pa.table({"account": pa.array([large, large + 2, None] * 100), "x": np.arange(300) / 4})
    synth = fingan.Synthesizer(overrides=SETTINGS).fit(table)
    assert set(synth.sample(300)["account"].dropna()) == {large, large + 2}
    torn = table.set_column(1, "x", pc.if_else(pc.less(table["x"], 5), None, table["x"]))
    assert set(synth.impute(torn, ["x"])["account"].dropna()) == {large, large + 2}


def test_evaluate_measures_against_the_training_rows(fitted):
    report = fitted.evaluate(arrow(400, seed=1))
    assert 0.0 <= report["detection_auc"].value <= 1.0


@pytest.mark.parametrize("act", [lambda s: s.sample(1), lambda s: s.save("x"), lambda s: s.evaluate()])
def test_nothing_works_before_fit(act):
    with pytest.raises(UserError, match="fit"):
        act(fingan.Synthesizer())


def test_a_synthesizer_has_no_gpus_and_says_so():
    synth = fingan.Synthesizer(overrides=[*SETTINGS, "compute.workers=1", "compute.gpus_per_worker=1"])
    with pytest.raises(ConfigError, match=r"compute\.gpus_per_worker is 1, but fit trains .* set it to 0"):
        synth.fit(frame())


def test_a_synthesizer_trains_on_the_threads_that_are_given(monkeypatch):
    threads = []

    def train(run):
        threads.append(torch.get_num_threads())
        raise DataError("that was enough")

    monkeypatch.setattr(Run, "train", train)
    before = torch.get_num_threads()
    for given in ("3", "null"):
        with pytest.raises(DataError, match="enough"):
            fingan.Synthesizer(overrides=[*SETTINGS, f"compute.threads={given}"]).fit(frame())
    assert threads == [3, before]
    assert torch.get_num_threads() == before


def test_a_csv_is_read_by_the_edited_schema(tmp_path):
    """Digits that the schema calls text are text in every call that takes a table."""
    table = pd.DataFrame({"branch": np.arange(300) % 7 + 10_000, "x": np.arange(300) / 4})
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "schema.yaml").write_text(
        "version: 1\ncolumns:\n  - {name: branch, kind: category, type: string}\n"
        "  - {name: x, kind: number, type: double}\n"
    )
    settings = [*SETTINGS, f"data.schema={tmp_path / 'schema.yaml'}"]
    synth = fingan.Synthesizer(overrides=settings).fit(tmp_path / "table.csv")
    assert set(synth.sample(100)["branch"]) <= set(table["branch"].astype(str))
    assert synth.evaluate(tmp_path / "table.csv")["exact_copies"].value >= 0.0
    table.loc[3, "x"] = np.nan
    table.to_csv(tmp_path / "torn.csv", index=False)
    filled = synth.impute(tmp_path / "torn.csv")
    assert filled["x"].notna().all()
    assert filled["branch"].tolist() == table["branch"].astype(str).tolist()


def test_series_are_not_available_yet():
    with pytest.raises(NotAvailable, match="series"):
        fingan.Synthesizer(kind="series").fit(frame())


def test_an_unknown_target_and_key_name_the_nearest():
    with pytest.raises(ConfigError, match="label"):
        fingan.Synthesizer(target="lable", overrides=SETTINGS).fit(frame())
    with pytest.raises(ConfigError, match=r"training\.steps"):
        fingan.Synthesizer(overrides=["training.step=3"])


def test_a_configuration_may_be_a_mapping():
    synth = fingan.Synthesizer(config={"training": {"steps": 3}}, overrides=None)
    assert synth.config.training.steps == 3
    with pytest.raises(ConfigError, match=r"training\.steps"):
        fingan.Synthesizer(config={"training": {"step": 3}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"config": 3}, "config is a Config, a mapping of sections or a path, not int"),
        ({"config": [("training", {})]}, "config is a Config, a mapping of sections or a path, not list"),
        ({"overrides": 3}, r"overrides are section\.key=value texts in a list, not 3"),
        ({"overrides": "training.steps=3"}, "overrides are .* in a list, not 'training.steps=3'"),
        ({"overrides": [("training.steps", 3)]}, "overrides are .* in a list, not .*'training.steps', 3"),
    ],
)
def test_what_is_no_configuration_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        fingan.Synthesizer(**given)


def test_a_table_smaller_than_a_batch_says_what_to_set():
    with pytest.raises(DataError, match=r"training\.batch_size"):
        fingan.Synthesizer(overrides=SETTINGS).fit(frame().head(40))
