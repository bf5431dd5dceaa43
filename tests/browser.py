"""A real headless Chromium, driven over its own DevTools protocol: what it shows, says and asks for."""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

PATIENCE_SECONDS = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
_ERRORS = {"Runtime.exceptionThrown", "Log.entryAdded"}


class Browser:
    """One tab. ``complaints`` and ``requests`` gather over all pages visited since they were last emptied."""

    def __init__(self, socket: Connection) -> None:
        self._socket = socket
        self._last = 0
        self._events: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_SECONDS))
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                answer: dict[str, Any] = message["result"]
                return answer
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method in _ERRORS or (method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning")):
            self.complaints.append(json.dumps(parameters)[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, address: str) -> None:
        """Go to a page and wait until it has loaded."""
        self._events.clear()
        self.send("Page.navigate", url=address)
        self.wait_for_load()

    def wait_for_load(self) -> None:
        """Until the page that is on its way has loaded."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Page.loadEventFired" not in self._events:
            assert time.monotonic() < deadline, "the page did not load"
            self._note(json.loads(self._socket.recv(timeout=PATIENCE_SECONDS)))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def choose(self, selector: str, value: object) -> None:
        """What a person does to a select or an input: set it, and tell the page."""
        self._events.clear()
        self.run(
            f"(() => {{ const c = document.querySelector({json.dumps(selector)}); c.value = {json.dumps(str(value))};"
            "for (const kind of ['input', 'change']) c.dispatchEvent(new Event(kind, {bubbles: true}));"
            "return null; })()"
        )

    def press(self, key: str) -> None:
        """One key, down and up."""
        self._events.clear()
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def resize(self, width: int) -> None:
        """The width of the window, in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path, width: int, *, dark: bool = False) -> None:
        """The whole page as PNG, at a width."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.resize(width)
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium with a profile of its own; ends with the block."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        switches = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
        )
        process = subprocess.Popen(
            [CHROMIUM, *switches, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_tab(Path(profile)), max_size=None, proxy=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _tab(profile: Path) -> str:
    """The address of the first tab's DevTools."""
    port = _wait_for_port(profile / "DevToolsActivePort")
    with connect(f"ws://127.0.0.1:{port[0]}{port[1]}", max_size=None, proxy=None) as socket:
        socket.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        while (answer := json.loads(socket.recv(timeout=PATIENCE_SECONDS))).get("id") != 1:
            pass
    target = next(one["targetId"] for one in answer["result"]["targetInfos"] if one["type"] == "page")
    return f"ws://127.0.0.1:{port[0]}/devtools/page/{target}"


def _wait_for_port(path: Path) -> tuple[str, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, WebSocketException):
            port, address = path.read_text(encoding="utf-8").splitlines()
            return port, address
        time.sleep(0.05)
    raise AssertionError("Chromium did not start")
