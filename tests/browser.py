"""Servers and a headless browser for the tests that use the mouse."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
HERE = "http://127.0.0.1"
SETTINGS = (
    "JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR JUPYTERLAB_SETTINGS_DIR "
    "JUPYTERLAB_WORKSPACES_DIR IPYTHONDIR"
)


@contextmanager
def server(folder, module, options, path=""):
    """Address of a Jupyter server with its own settings, run in a folder."""
    settings = {name: str(folder / name.lower()) for name in SETTINGS.split()}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", module, *options(port)]
    log = folder / f"{module}.log"
    with log.open("w") as output:
        env = {**os.environ, **settings}
        files = {"cwd": folder, "stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, env=env, **files)
        try:
            wait_for(lambda: answers(f"{HERE}:{port}{path}", process), 90, log.read_text)
            yield f"{HERE}:{port}"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(address, process):
    assert process.poll() is None, "the server has ended"
    try:
        with urllib.request.urlopen(address, timeout=60):
            return True
    except OSError:
        return False


def wait_for(condition, seconds, on_failure):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {on_failure()}")
        time.sleep(0.05)
