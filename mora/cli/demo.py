"""`mora demo`: the whole path on the miniature models."""

from collections.abc import Sequence

from mora.cli.application import Settings, run
from mora.cli.evaluate import evaluate_run
from mora.cli.generate import make_videos
from mora.cli.meter import Meter
from mora.cli.runs import run_folder


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora demo`."""
    return run("demo", arguments, demo)


def demo(settings: Settings) -> int:
    """Makes videos, scores them and reports. Returns the exit status."""
    from eval.ledger import Ledger

    with Meter() as meter:
        make_videos(settings, meter)
    with Ledger.open(run_folder(settings["run"])) as ledger:
        return evaluate_run(settings, ledger)
