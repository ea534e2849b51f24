"""Drive a headless Chromium over two pipes with the DevTools protocol; nothing else to install.

https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
# Neither the page under test nor the browser itself may contact the network.
OFFLINE = "--disable-quic --disable-sync --disable-background-networking --disable-component-update"
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars"
FLAGS = f"{FLAGS} {OFFLINE} --remote-debugging-pipe".split()
SECONDS = 60  # to wait for an answer
BOX = "getBoundingClientRect()"


class Page:
    """One tab, and the events that it has sent so far."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict:
        while b"\0" not in self.buffer:
            assert select.select([self.answers], [], [], SECONDS)[0], "Chromium does not answer"
            received = os.read(self.answers, 2**20)
            assert received, "Chromium has ended"
            self.buffer += received
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def size(self, width: int, height: int = 800) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def open(self, path: Path) -> None:
        before = len(self.sent("Page.loadEventFired"))
        self.call("Page.navigate", url=path.resolve().as_uri())
        while len(self.sent("Page.loadEventFired")) == before:
            self.events.append(self.receive())

    def click(self, selector: str) -> None:
        """Scroll to an element and click into its middle, as a hand does, not as a script."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({find}.{BOX})")
        place = dict(zip("xy", box), button="left", clickCount=1)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def press(self, key: str) -> None:
        """Press a key of the keyboard that is not a letter, such as ArrowRight."""
        code = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}[key]
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def run(self, script: str):
        """The value of a JavaScript expression, promises awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def sent(self, *methods: str) -> list[dict]:
        """The parameters of all events of the given kinds so far."""
        return [event["params"] for event in self.events if event.get("method") in methods]


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Start Chromium with its own profile in an empty folder, and end it in any case."""
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    shell = f'exec "$0" "$@" 3<&{in_read} 4>&{out_write}'  # the pipes that DevTools uses
    process = subprocess.Popen(
        ["bash", "-c", shell, PROGRAM, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(in_read, out_write),
        stderr=subprocess.DEVNULL,
    )
    os.close(in_read)
    os.close(out_write)
    try:
        yield Page(in_write, out_read)
    finally:
        process.terminate()
        process.wait(SECONDS)
        os.close(in_write)
        os.close(out_read)
