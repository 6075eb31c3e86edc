"""Kills `mora` at a chosen call, as `kill -9` would at that moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_CODE = """
import sys, time
from importlib import import_module
from mora.cli import main

place, name = {function!r}.rsplit(".", 1)
owner, _, kind = place.partition(":")
owner = import_module(owner)
owner = getattr(owner, kind) if kind else owner
plain, calls = getattr(owner, name), []

def stalling(*arguments, **settings):
    calls.append(name)
    if len(calls) == {call}:
        print("stalled", flush=True)
        time.sleep(600)
    return plain(*arguments, **settings)

setattr(owner, name, stalling)
sys.exit(main({arguments!r}))
"""


def kill_at(function: str, call: int, arguments: Sequence[str], folder: Path) -> None:
    """Runs `mora` in a process of its own and kills it when a function is called.

    Args:
        function: `module.function` or `module:Class.method`, as it is looked up when called.
        call: At which call, counted from 1; those before are carried out.
        arguments: Verb and settings.
        folder: Where it runs.
    """
    code = _CODE.format(function=function, call=call, arguments=list(arguments))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    told = child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert told == "stalled\n", f"it ended before call {call} of {function}"
