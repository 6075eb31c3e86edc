"""`mora table`: one or several runs beside the paper's numbers."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mora.cli.application import Settings, run
from mora.cli.runs import run_folder
from mora.errors import SettingError

if TYPE_CHECKING:
    from eval.tables import Table

Format = Literal["markdown", "csv", "latex"]

SUFFIXES: Final[dict[Format, str]] = {"markdown": ".md", "csv": ".csv", "latex": ".tex"}


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora table`."""
    return run("table", arguments, table, lists_of_texts=("run",))


def table(settings: Settings) -> int:
    """Prints the table of some runs, and writes it where asked. Returns the exit status."""
    from eval.ledger import Ledger
    from eval.rendering import render
    from eval.tables import TableSpec, make_table

    runs, form = settings["run"], settings["format"]
    if not runs:
        raise SettingError("expected run=NAME, or several: run=A,B.")
    if form not in SUFFIXES:
        raise SettingError(f"format={form}: expected one of {', '.join(SUFFIXES)}.")
    with ExitStack() as stack:
        ledgers = [stack.enter_context(Ledger.read(run_folder(name))) for name in runs]
        made = make_table(
            ledgers,
            TableSpec.model_validate(settings["table"]),
            protocol=settings["protocol"]["name"] if settings.get("protocol") else None,
            weights=settings["weights"],
            mix=settings["mix"],
        )
    print(render(made, form), end="")
    if settings["out"] is not None:
        write_tables(made, Path(settings["out"]).expanduser())
    return 0


def write_tables(made: "Table", folder: Path) -> list[Path]:
    """Writes a table as Markdown, CSV and LaTeX into a folder. Returns the files."""
    from eval.rendering import render

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for form, suffix in SUFFIXES.items():
        path = folder / f"{made.spec.name}{suffix}"
        path.write_text(render(made, form), encoding="utf-8")
        files.append(path)
    return files
