"""`python -m lab.exam`: examines the miniature models and writes one JSON and one table.

Finished parts are kept: a second call examines what is missing, or whose weights have changed.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from lab.exam.exam import PARTS, Exam
from lab.exam.figures import Result
from lab.exam.table import markdown, write_readme
from mora.checkpoints import CheckpointError, mini_weights


def main() -> int:
    """Reads the command line, sits the exam and writes what it found.

    Returns:
        Exit status: 1 if weights of a part were missing, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.exam", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/exam"), help="folder for results")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--weights", type=Path, default=None, help="default: lab/weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, default=Exam.count, help="captions, pictures, clips")
    parser.add_argument("--seed", type=int, default=Exam.seed)
    parser.add_argument("--write-readme", action="store_true", help="the table into lab/README.md")
    given = parser.parse_args()
    chosen = [name.strip() for name in given.only.split(",") if name.strip()]
    if unknown := sorted(set(chosen) - set(PARTS)):
        parser.error(f"--only names {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    weights = mini_weights() if given.weights is None else given.weights
    exam = Exam(weights, given.out, torch.device(given.device), given.seed, given.count)
    results, missing = [], False
    for part in PARTS:
        try:
            result = exam.sit(part) if part in chosen else exam.earlier(part)
        except CheckpointError as error:
            if part in chosen:
                missing = True
                print(f"{part}: not examined. {error}", file=sys.stderr, flush=True)
            continue
        if result is not None:
            results.append(result)
            seconds, count = result.seconds, len(result.figures)
            print(f"{part}: {count} figures in {seconds:.0f} s", file=sys.stderr, flush=True)
    table = write(results, given.out)
    print(table)
    if given.write_readme:
        write_readme(table)
    return int(missing)


def write(results: list[Result], out: Path) -> str:
    """Writes `exam.json` and `exam.md`, and returns the table."""
    out.mkdir(parents=True, exist_ok=True)
    stored = {result.part: asdict(result) for result in results}
    (out / "exam.json").write_text(json.dumps(stored, indent=2) + "\n", "utf-8")
    table = markdown(results)
    (out / "exam.md").write_text(table, "utf-8")
    return table


if __name__ == "__main__":
    sys.exit(main())
