"""Writes what a trial found: Markdown, CSV, JSON, the picture, the damaged clips, and a page."""

from pathlib import Path
from typing import Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from eval.report.sheets import Strip, contact_sheet, thumbnails
from eval.validate import tables
from eval.validate.damages import DAMAGES, Reworded
from eval.validate.findings import HELD, Results
from eval.validate.plot import svg
from eval.validate.trial import CLEAN, Case, Trial
from mora.media import write_image
from mora.media.atomic import writing

TEMPLATE: Final = "page.html.j2"
WIDTH: Final = 96
"""Width in pixels of a frame on the sheet of damages."""


def write_outcome(results: Results, trial: Trial, folder: Path) -> dict[str, Path]:
    """Writes all files.

    Args:
        results: What was found.
        trial: The trial, for pictures of the damages.
        folder: Where the files go.

    Returns:
        The files by what they are.
    """
    sheet = folder / "damages.png"
    write_image(sheet, damages_sheet(trial))
    picture = svg(results)
    texts = {
        "page": (folder / "index.html", page(results, picture, sheet.name)),
        "table": (folder / "validate.md", tables.markdown(results)),
        "numbers": (folder / "validate.csv", tables.to_csv(results)),
        "json": (folder / "validate.json", results.model_dump_json(indent=2) + "\n"),
        "plot": (folder / "validate.svg", picture),
    }
    for path, text in texts.values():
        with writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return {name: path for name, (path, _) in texts.items()} | {"damages": sheet}


def damages_sheet(trial: Trial) -> NDArray[np.uint8]:
    """Draws the first clip under each damage to its frames, at its greatest strength.

    Returns:
        uint8 (H, W, 3).
    """
    first = trial.specimens[0].name
    severest: dict[str, Case] = {}
    for case in trial.cases.values():
        if case.specimen.name == first and not isinstance(case.damage, Reworded):
            severest[CLEAN if case.damage is None else case.damage.title] = case
    strips = [
        Strip(title if case.damage is None else f"{title}, {case.strength:g}", _shown(case))
        for title, case in severest.items()
    ]
    return contact_sheet(f"Damages at their greatest strength: {first}", strips, width=WIDTH)


def page(results: Results, picture: str, sheet: str) -> str:
    """The page as HTML; it opens from disk and needs no network.

    Args:
        results: What was found.
        picture: The plot as SVG, which is put into the page.
        sheet: Address of the sheet of damages, relative to the page.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = [
        (
            DAMAGES[damage],
            [results.finding(clean.metric, damage) for clean in results.clean],
        )
        for damage in results.damages
    ]
    profiles = [
        (clean.title, tables.on_clean(clean), tables.profile(results, clean.metric))
        for clean in results.clean
    ]
    return environment.get_template(TEMPLATE).render(
        results=results,
        heading=tables.heading(results),
        picture=Markup(picture),  # noqa: S704 - made here, its texts are escaped there
        rows=rows,
        arrows=tables.ARROWS,
        held=HELD,
        profiles=profiles,
        sheet=sheet,
    )


def _shown(case: Case) -> NDArray[np.uint8]:
    return thumbnails(case.frames(), width=WIDTH)
