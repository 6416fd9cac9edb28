"""Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

WAIT = 15.0
OUTSIDE = """
[...document.querySelectorAll('button, input, select, h2, h3, figure, .box')]
  .filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1);
  })
  .map((e) => e.outerHTML.slice(0, 80))
"""
"""Finds what reaches beyond the sides of the window."""

CONTRAST = """
(() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const found = rgb(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const poor = [];
  const bar = rgb(getComputedStyle(document.querySelector('svg .bar')).fill);
  for (const e of document.querySelectorAll('body *:not(script):not(style):not(noscript)')) {
    if (!e.checkVisibility() || e.disabled) continue;
    const style = getComputedStyle(e);
    const ink = rgb(e.namespaceURI.endsWith('svg') ? style.fill : style.color);
    if (own(e) && ratio(ink, paper(e)) < 4.5) poor.push(`${e.tagName} ${e.textContent.slice(0, 30)}`);
    if (['INPUT', 'SELECT', 'BUTTON'].includes(e.tagName) && !e.classList.contains('model')
        && ratio(rgb(style.borderTopColor), paper(e.parentElement)) < 3) poor.push(`border ${e.id}`);
    if (e.classList.contains('bar') && ratio(rgb(style.fill), paper(e)) < 3) poor.push('bar');
    if (e.matches('svg .outline') && ratio(rgb(style.stroke), bar) < 3) poor.push('outline');
  }
  return [...new Set(poor)];
})()
"""
"""Finds text, borders and bars that stand out too little from what is behind them."""


def chromium() -> str:
    """Return the path of Chromium; absent it skips."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is not None:
        return found
    reason = "chromium is not installed (apt install chromium): the page is not tried in a browser"
    pytest.skip(reason)


class Browser:
    """One tab. Whatever the page complains of lies in `complaints`.

    Args:
        loop: runs the connection.
        socket: to the tab.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop, self._socket, self._numbers = loop, socket, itertools.count(1)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._send(method, parameters), WAIT))

    async def _send(self, method: str, parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads(await self._socket.receive_str())
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, message: Any) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        # An answer that is an error is logged by the browser too; the page has put it into words.
        elif method == "Log.entryAdded" and told["entry"]["source"] != "network":
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def open(self, url: str) -> None:
        """Load a page from anew."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        told = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + WAIT
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}; {self.run('document.body.innerText')}"
            time.sleep(0.03)
        return found

    def text(self, selector: str) -> str:
        """Return the text of the first element that fits."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def click(self, selector: str) -> None:
        """Click on the first element that fits."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def fill(self, selector: str, value: str) -> None:
        """Give a field its value, as typing would."""
        events = "for (const e of ['input', 'change']) n.dispatchEvent(new Event(e, {bubbles: true}))"
        self.run(
            f"(() => {{ const n = document.querySelector({json.dumps(selector)}); "
            f"n.value = {json.dumps(value)}; {events}; }})()"
        )

    def key(self, key: str, text: str = "") -> None:
        """Press a key where the cursor is."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "text": text}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def look(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """Set the size of the window and the colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """Save a picture of the whole page."""
        told = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a fresh profile and yield a tab of it."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [chromium(), *options, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet, start_new_session=True)
    loop = asyncio.new_event_loop()
    try:
        session, socket = loop.run_until_complete(_connect(_port(profile, process)))
        try:
            yield Browser(loop, socket)
            with contextlib.suppress(Exception):
                loop.run_until_complete(
                    asyncio.wait_for(socket.send_json({"id": 0, "method": "Browser.close"}), 2)
                )
        finally:
            loop.run_until_complete(socket.close())
            loop.run_until_complete(session.close())
    finally:
        loop.close()
        _end(process)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> str:
    told, end = profile / "DevToolsActivePort", time.monotonic() + WAIT
    while not (told.exists() and told.read_text().count("\n")):
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        assert time.monotonic() < end, "chromium does not open its port"
        time.sleep(0.03)
    return told.read_text().split("\n")[0]


async def _connect(port: str) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
    return session, await session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser and what it started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)
        return
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)
        return
    process.kill()
    process.wait(3)
