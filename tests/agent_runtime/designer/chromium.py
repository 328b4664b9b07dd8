"""A page in a real browser, headless, without a network: spoken to over its own debugging socket."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--remote-debugging-port=0",
    "--window-size=1600,1000",
)
_PATIENCE_S = 60.0


class Page:
    """One open page."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        self._socket.send(json.dumps({**asked, **({"sessionId": session} if session else {})}))
        while True:
            said = json.loads(self._socket.recv(_PATIENCE_S))
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent"):
                self.complaints.append(json.dumps(said["params"]))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return dict(said["result"])


@contextmanager
def opened(file: Path, profile: Path) -> Iterator[tuple[Page, str]]:
    """A page that has been loaded, and the session to ask it in."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8")
    try:
        assert browser.stderr is not None
        url = next(line.split()[-1] for line in browser.stderr if "DevTools listening on" in line)
        with connect(url, max_size=None) as socket:
            page = Page(socket)
            target = page.ask("Target.createTarget", url="about:blank")["targetId"]
            session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for room in ("Runtime", "Log", "Page"):
                page.ask(f"{room}.enable", session)
            page.ask("Page.navigate", session, url=file.as_uri())
            evaluated(
                page,
                session,
                "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))",
            )
            yield page, session
    finally:
        browser.terminate()
        browser.wait(_PATIENCE_S)
        if browser.stderr is not None:
            browser.stderr.close()


def evaluated(page: Page, session: str, expression: str) -> Any:
    """What a JavaScript expression is in the page."""
    found = page.ask("Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True)
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")
