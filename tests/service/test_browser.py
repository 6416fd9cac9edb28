"""The page in a browser: by keyboard, with hostile names, at the sizes and in the colours that there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from fingan.service.marginals import marginals
from tests import tiny
from tests.service import services
from tests.service.browser import CONTRAST, OUTSIDE, Browser, browsing, chromium
from tests.service.stub import NAUGHTY, TOKEN, Stub, serving

MODEL = "loans"
HIDDEN = "document.getElementById({!r}).hidden"


@pytest.fixture(scope="module")
def stub() -> Stub:
    """What stands for the service."""
    chromium()  # Nothing is trained where there is no browser.
    return Stub({MODEL: tiny.generator()})


@pytest.fixture(scope="module")
def service_url(stub) -> Iterator[str]:
    """The address of a service that has the model `loans`."""
    with serving(stub.app()) as url:
        yield url


@pytest.fixture(scope="module")
def tab(tmp_path_factory) -> Iterator[Browser]:
    """A browser for all tests here: starting one takes a second."""
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(tab, service_url, tmp_path) -> Iterator[Browser]:
    """The page, not entered yet; it must not complain of anything."""
    tab.complaints.clear()
    tab.requests.clear()
    tab.look(1280)
    tab.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.open(service_url)
    tab.until(f"!{HIDDEN.format('entrance')}")
    yield tab
    tab.run("sessionStorage.clear()")
    assert tab.complaints == []


@pytest.fixture
def inside(browser) -> Browser:
    """The page with the list of models."""
    browser.fill("#token", TOKEN)
    browser.click("#token-form button")
    browser.until("document.querySelectorAll('.model').length")
    return browser


@pytest.fixture
def chosen(inside) -> Browser:
    """The page with the model chosen."""
    choose(inside, MODEL)
    return inside


def choose(browser: Browser, name: str) -> None:
    browser.run(
        f"[...document.querySelectorAll('.model')].find(b => b.innerText.startsWith({name!r})).click()"
    )
    browser.until(f"!{HIDDEN.format('draw')}")


def drawn(browser: Browser) -> None:
    browser.click("#draw-button")
    browser.until(f"!{HIDDEN.format('sample')} && !document.getElementById('draw-button').disabled")


def told(browser: Browser, place: str) -> str:
    """Return what an alert says, once it says something."""
    return browser.until(f"document.getElementById('{place}-alert').innerText")


def saved(folder, suffix: str):
    """Return the file that was downloaded, once it is there."""
    end = time.monotonic() + 10
    while not (found := list(folder.glob(f"*.{suffix}"))):
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.03)
    return found[0]


def test_a_wrong_token_is_refused_in_words(browser):
    browser.fill("#token", "wrong")
    browser.click("#token-form button")
    assert "token was not accepted" in told(browser, "entrance")
    assert browser.run(HIDDEN.format("models"))
    assert browser.run("document.activeElement.id") == "token"


def test_the_token_is_in_no_address_and_goes_when_it_is_forgotten(inside):
    assert inside.run("location.href") == inside.requests[0]
    assert not [url for url in inside.requests if TOKEN in url]
    assert inside.run("sessionStorage.length + localStorage.length") == 0
    assert TOKEN not in inside.run("document.documentElement.outerHTML")
    inside.click("#forget")
    assert not inside.run(HIDDEN.format("entrance"))
    assert inside.run("document.querySelectorAll('.model').length") == 0


def test_a_token_that_is_kept_outlives_a_reload_but_not_the_tab(browser, service_url):
    browser.fill("#token", TOKEN)
    browser.click("#keep")
    browser.click("#token-form button")
    browser.until("document.querySelectorAll('.model').length")
    browser.open(service_url)
    browser.until("document.querySelectorAll('.model').length")
    assert browser.run("localStorage.length") == 0
    browser.click("#forget")
    assert browser.run("sessionStorage.length") == 0


def test_a_token_that_runs_out_leads_back_to_the_entrance(chosen, stub):
    stub.accepted = False
    chosen.click("#draw-button")
    assert "token was not accepted" in told(chosen, "entrance")
    stub.accepted = True
    assert chosen.run(HIDDEN.format("draw"))


def test_a_model_is_shown_with_what_was_measured_its_columns_and_its_card(chosen):
    assert chosen.text("#h-model") == f"{MODEL}:1"
    auc = tiny.generator().metrics["validation"]["detection_auc"]
    assert f"{auc:.3f}" in chosen.text("#report .cards")
    assert chosen.run("document.querySelectorAll('#report .schema tbody tr').length") == 11
    chosen.run("document.querySelector('#report details').open = true")
    assert "fingan" in chosen.text(".card-text")
    assert chosen.run("document.querySelectorAll('.card-text table tbody tr').length") == 11
    assert chosen.run("document.activeElement.id") == "h-model"


def test_an_alias_that_cannot_be_read_is_named_and_the_model_is_ready(inside):
    shown = inside.text(".model")
    assert "champion → 1" in shown
    assert "torn cannot be read" in shown
    assert "ready" in shown


def test_a_model_that_cannot_be_loaded_says_so_and_when_to_come_back(inside):
    inside.run("[...document.querySelectorAll('.model')].find(b => b.innerText.startsWith('broken')).click()")
    words = told(inside, "model")
    assert "damaged" in words
    assert "Try again in 30 seconds" in words
    assert inside.run(HIDDEN.format("draw"))


def test_a_sample_is_plotted_beside_the_training_table(chosen):
    chosen.fill("#rows", "400")
    drawn(chosen)
    figures = chosen.run("[...document.querySelectorAll('figure')].map(f => ({...f.dataset}))")
    real = {column["name"]: column for column in marginals(tiny.generator())["columns"]}
    made = tiny.generator().sample(400, seed=0)
    assert {figure["column"] for figure in figures if "column" in figure} == set(real) - {"customer"}
    for figure in figures:
        if "column" in figure:
            expected = distance(real[figure["column"]], made[figure["column"]])
            assert float(figure["distance"]) == pytest.approx(expected, abs=2e-6), figure["column"]
    assert chosen.run("document.querySelectorAll('#plots svg[role=img][aria-label]').length") == len(real) - 1
    assert chosen.run("document.querySelectorAll('#rows-table tbody tr').length") == 50
    assert "400 rows" in chosen.text("#sample-note")


def distance(column: dict, values: pa.ChunkedArray) -> float:
    """Return the total variation of a sample's values against a marginal, on a path of its own."""
    known = values.drop_null()
    if column["kind"] == "category":
        texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in known.to_pylist()]
        counts = [texts.count(value) for value in column["values"]]
    else:
        if column["text"] is not None:
            known = known.cast(pa.timestamp("ms")).cast(pa.int64())
        plain = known.cast(pa.float64()).to_numpy()
        place = (np.searchsorted(column["edges"], plain, side="right") - 1).clip(0, len(column["shares"]) - 1)
        counts = np.bincount(place, minlength=len(column["shares"])).tolist()
    rest = [len(known) - sum(counts), values.null_count]
    cells = [*column["shares"], column.get("other", 0.0), column["missing"]]
    return sum(abs(c / len(values) - s) for c, s in zip([*counts, *rest], cells, strict=True)) / 2


def test_conditions_fields_and_columns_reach_the_service(chosen, stub):
    for name in ("city", "age", "amount", "day", "member"):
        chosen.fill("#condition-column", name)
        chosen.click("#add-condition")
    chosen.run("document.querySelectorAll('.condition')[0].querySelector('select').selectedIndex = 1")
    for place, value in ((1, "42"), (3, "2024-03-05")):
        chosen.run(
            f"document.querySelectorAll('.condition')[{place}].querySelector('input').value = '{value}'"
        )
    chosen.run("document.querySelectorAll('.condition')[2].querySelector('[type=checkbox]').click()")
    chosen.run("document.querySelector('#columns input[value=fee]').click()")
    chosen.fill("#rows", "20")
    chosen.fill("#seed", "7")
    chosen.fill("#candidates", "2")
    drawn(chosen)
    where = {"city": "Lyon", "age": 42, "amount": None, "day": "2024-03-05", "member": True}
    asked = stub.asked[-1]
    assert asked["where"] == where
    assert (asked["rows"], asked["seed"], asked["offset"], asked["candidates"]) == (20, 7, 0, 2)
    assert asked["columns"] == [name for name in tiny.generator().schema.names if name != "fee"]
    heads = chosen.run("[...document.querySelectorAll('#rows-table thead th')].map(h => h.innerText)")
    assert heads == ["Row", *asked["columns"]]
    assert json.dumps(where["city"]) in chosen.run("document.getElementById('shell').textContent")
    assert '"amount": None' in chosen.run("document.getElementById('python').textContent")
    chosen.click(".condition button")
    assert (
        "city"
        not in chosen.run("document.getElementById('python').textContent").split("where")[1].split("}")[0]
    )


def test_what_is_not_filled_in_or_not_possible_is_told_at_the_field(chosen):
    chosen.fill("#rows", "5000")
    chosen.click("#draw-button")
    assert "from 1 to 1,000" in told(chosen, "draw")
    assert chosen.run("document.activeElement.id") == "rows"
    assert chosen.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    chosen.fill("#rows", "10")
    chosen.fill("#condition-column", "age")
    chosen.click("#add-condition")
    chosen.click("#draw-button")
    chosen.until("document.getElementById('draw-alert').innerText.includes('Give a value for age')")
    chosen.fill(".condition input", "999")
    chosen.click("#draw-button")
    chosen.until("document.getElementById('draw-alert').innerText.includes('999')")
    assert chosen.run("document.getElementById('draw-alert').getAttribute('role')") == "alert"


def test_too_many_requests_are_told_with_the_time_to_wait(chosen, stub):
    stub.busy = 1
    chosen.click("#draw-button")
    words = told(chosen, "draw")
    assert "Too many requests" in words
    assert "Try again in 7 seconds" in words
    assert chosen.run("document.querySelector('#draw [aria-busy]')") is None
    drawn(chosen)
    assert chosen.text("#draw-alert") == ""


@pytest.mark.parametrize(("form", "suffix"), [("csv", "csv"), ("parquet", "parquet"), ("arrow", "arrows")])
def test_rows_are_saved_as_a_file(chosen, tmp_path, form, suffix):
    chosen.fill("#download-rows", "300")
    chosen.click(f"[data-form={form}]")
    chosen.until("document.getElementById('download-status').innerText.includes('saved')")
    path = saved(tmp_path, suffix)
    assert path.name == f"{MODEL}-1-seed0.{suffix}"
    expected = tiny.generator().sample(300)
    if form == "csv":
        assert len(path.read_text(encoding="utf-8").splitlines()) == 301
    else:
        found = pq.read_table(path) if form == "parquet" else ipc.open_stream(path.read_bytes()).read_all()
        assert found.select(["age", "city"]).equals(expected.select(["age", "city"]))


def test_the_service_itself_answers_the_page(tab, request, tmp_path):
    found = request.getfixturevalue("running")
    tab.complaints.clear()
    tab.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.open(found.url)
    tab.until(f"!{HIDDEN.format('entrance')}")
    tab.fill("#token", services.TOKEN)
    tab.click("#token-form button")
    tab.until("document.querySelectorAll('.model').length")
    choose(tab, "tiny")
    assert tab.text("#h-model") == "tiny:2"
    tab.fill("#version", "1")
    tab.until("document.getElementById('h-model').innerText === 'tiny:1'")
    tab.until(f"!{HIDDEN.format('draw')}")
    tab.fill("#condition-column", "label")
    tab.click("#add-condition")
    tab.fill("#rows", "100")
    drawn(tab)
    assert tab.text("#sample-note").startswith("100 rows of tiny:1, seed 0")
    tab.fill("#condition-column", "age")
    tab.click("#add-condition")
    tab.fill(".condition input", "999")
    tab.click("#draw-button")
    assert "999" in told(tab, "draw")
    tab.click(".condition:last-child button")
    tab.fill("#download-rows", "50")
    tab.click("[data-form=parquet]")
    tab.until("document.getElementById('download-status').innerText.includes('saved')")
    assert set(pq.read_table(saved(tmp_path, "parquet"))["label"].to_pylist()) == {"good"}
    assert tab.complaints == []


def test_more_rows_than_memory_should_hold_are_left_to_a_command(chosen):
    chosen.fill("#download-rows", "1000001")
    assert chosen.run("[...document.querySelectorAll('[data-form]')].every(b => b.disabled)")
    assert "1,000,000" in chosen.text("#download-note")
    assert '"rows":1000001' in chosen.text("#shell")
    assert "client.save(" in chosen.text("#python")
    compile(chosen.run("document.getElementById('python').textContent"), "shown", "exec")
    chosen.fill("#download-rows", "1000000")
    assert not chosen.run("[...document.querySelectorAll('[data-form]')].some(b => b.disabled)")


def test_names_and_values_that_are_markup_stay_text(inside):
    choose(inside, "naughty")
    inside.run("for (const d of document.querySelectorAll('details')) d.open = true")
    drawn(inside)
    inside.run("for (const d of document.querySelectorAll('details')) d.open = true")
    heads = inside.run("[...document.querySelectorAll('#rows-table thead th')].map(h => h.textContent)")
    assert heads == ["Row", *NAUGHTY]
    first = inside.run(
        "[...document.querySelectorAll('#rows-table tbody tr:first-child td')].map(d => d.textContent)"
    )
    assert first == NAUGHTY
    assert (
        inside.run(
            "document.querySelectorAll('main img, main script:not(:last-of-type), .card-text b').length"
        )
        == 0
    )
    # Each value is as frequent in the sample as in the table: none was lost or confused with another.
    distances = inside.run("[...document.querySelectorAll('figure')].map(f => Number(f.dataset.distance))")
    assert distances == pytest.approx([0.0] * len(NAUGHTY), abs=1e-6)
    for name in NAUGHTY:
        inside.fill("#condition-column", name)
        inside.click("#add-condition")
    assert inside.run("document.querySelectorAll('.condition').length") == len(NAUGHTY)
    shown = inside.run("document.getElementById('python').textContent")
    compile(shown, "shown", "exec")
    assert '"__proto__"' in shown
    assert inside.run("document.title") == "fingan · service"


def test_everything_is_reached_by_keyboard(browser):
    browser.send("Input.insertText", text=TOKEN)
    browser.key("Enter", "\r")
    browser.until("document.activeElement.className === 'model'")
    browser.key("Enter", "\r")
    browser.until("document.activeElement.id === 'h-model'")
    browser.until(f"!{HIDDEN.format('draw')}")
    seen = set()
    for _ in range(60):
        browser.key("Tab")
        seen.add(browser.run("document.activeElement.id || document.activeElement.dataset.form || ''"))
    wanted = {"version", "condition-column", "add-condition", "rows", "seed", "candidates", "draw-button"}
    assert wanted | {"download-rows", "csv", "parquet", "arrow"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_the_window_and_can_be_read(chosen, width, scheme, tmp_path):
    chosen.look(width, scheme=scheme)
    chosen.fill("#condition-column", "amount")
    chosen.click("#add-condition")
    chosen.fill(".condition input", "100")
    drawn(chosen)
    assert chosen.run("document.documentElement.scrollWidth <= innerWidth")
    assert chosen.run(OUTSIDE) == []
    assert chosen.run(CONTRAST) == []
    chosen.picture(tmp_path / f"{width}-{scheme}.png")
    assert (tmp_path / f"{width}-{scheme}.png").stat().st_size > 20_000
