"""The command line: the only room that knows every other.

This file answers `mora --help` and finds the verb; nothing heavy is imported before a verb needs
it.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from mora import __version__

VERBS: Final = ("demo", "generate", "evaluate", "validate", "table", "compare", "models", "doctor")
"""Each is a module beside this one with a function `main(arguments) -> exit status`."""

HELP: Final = """\
mora: from prompts to videos to scores to tables.

  mora demo                                 the whole path on the miniature models
  mora generate prompts=… agents=… model=…  videos into a run
  mora evaluate run=…                       scores, tables and a report for a run
  mora evaluate videos=DIR prompts=FILE     the same for existing videos; prompts=none without text
  mora validate                             the metrics' own exam: what each of them sees
  mora table run=A,B                        runs beside the paper's numbers: Markdown, CSV, LaTeX
  mora compare BASE CANDIDATE               the regression gate: is a model worse, prompt by prompt?
  mora models list|pull|check               published weights: licence, size, sha256, what is here
  mora doctor                               what this machine can run

  mora VERB --help                          a verb's settings; --cfg job shows them filled in
  mora --version

Settings are given as name=value. A run is a folder, results/runs/NAME unless its setting is a
path; the same command run again goes on where it was. Exit status: 0 all is well, 1 something in
the run failed and is recorded there, 2 the command could not be carried out.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Verb and settings; `None` takes them from the process.

    Returns:
        The exit status: 0, 1 if something in the run failed, 2 if the command could not be
        carried out, 130 if it was interrupted.
    """
    verb, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if verb in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if verb == "--version":
        print(f"mora {__version__}")
        return 0
    if verb not in VERBS:
        said = f"mora: {verb}: no such verb. " if verb else "mora: expected a verb. "
        print(f"{said}The verbs are: {', '.join(VERBS)}. See mora --help.", file=sys.stderr)
        return 2
    run: Callable[[list[str]], int] = import_module(f"mora.cli.{verb}").main
    return run(rest)
