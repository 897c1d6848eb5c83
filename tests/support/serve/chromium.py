"""A headless Chromium, driven over a pipe by its DevTools protocol; nothing but it is needed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
_SECONDS = 30
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe"),
)


class Browser:
    """One page.

    Parameters
    ----------
    profile : Path
        An empty folder.

    Attributes
    ----------
    events : list of dict
        What the browser has told without being asked.
    """

    def __init__(self, profile: Path) -> None:
        import fcntl

        assert CHROMIUM is not None
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        # the browser reads from descriptor 3 and writes to descriptor 4; neither may be in the way
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (commands, answers)]
        script = f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}"],
            pass_fds=high,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in (commands, answers, *high):
            os.close(each)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command; its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.wait("document.readyState == 'complete' && location.href != 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression in JavaScript."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _SECONDS
        while not self.run(script):
            assert time.monotonic() < end, f"{script}\n{self.run('document.body.innerText')}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        for symbol in text:
            self.send("Input.dispatchKeyEvent", type="char", text=symbol)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key that is no letter."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        written = {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **named, **written)
        self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    def roles(self) -> list[tuple[str, str]]:
        """Role and name of all that a screen reader is told of, in its order."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def picture(self) -> bytes:
        """The whole page as PNG."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def requested(self) -> list[str]:
        """The addresses of all requests."""
        return self._seen("Network.requestWillBeSent", lambda event: event["request"]["url"])

    def complaints(self) -> list[str]:
        """What the browser has to say against the page."""
        logged = self._seen("Log.entryAdded", lambda event: event["entry"]["text"])
        raised = self._seen("Runtime.exceptionThrown", lambda event: str(event["exceptionDetails"]))
        return logged + raised

    def _seen(self, method: str, value: Any) -> list[str]:
        return [value(event["params"]) for event in self.events if event.get("method") == method]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._read, 2**16)
            assert block, "the browser has ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser, ended with the block."""
    started = Browser(profile)
    try:
        yield started
    finally:
        started.close()
