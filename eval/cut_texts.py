"""Prompts of which a network read only the beginning.

ViCLIP reads 32 ids of a text and CLIP 77, markers included, as in the reference; what is longer is
cut. The score then says nothing of the rest, so a person is told once a run, and a file beside the
run's scores names each text and how far it was read.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from eval.ledger import LedgerReader
from metrics.networks import Networks
from metrics.protocol import Protocol
from metrics.registry import METRICS, make_metrics


@dataclass(frozen=True)
class CutText:
    """A text that was cut.

    Attributes:
        metric: Metric that compares videos with it.
        network: What read it: the name of its card.
        limit: Ids that the network reads, two markers included.
        prompt_id: The prompt that it belongs to.
        text: All of it.
        read: What was read.
    """

    metric: str
    network: str
    limit: int
    prompt_id: str
    text: str
    read: str


def find_cut_texts(ledger: LedgerReader, protocol: Protocol, networks: Networks) -> list[CutText]:
    """Finds the texts of a run's videos that are too long for the networks that read them.

    Looked at are the metrics that the run was scored on, now or earlier, under this protocol with
    these weights.

    Returns:
        Each text of each metric once, in the order of metrics and videos.
    """
    scored = {
        each.metric
        for each in ledger.fingerprints()
        if (each.protocol, each.weights) == (protocol.name, networks.weights)
    }
    metrics = make_metrics([name for name in METRICS if name in scored], protocol)
    styles = {request.id: request.prompt.tags.get("style") for request in ledger.requests()}
    videos = [(video.prompt_id or video.id, video) for video in ledger.videos()]
    texts: dict[str, list[tuple[str, object]]] = {
        "prompt": [(prompt_id, video.text) for prompt_id, video in videos],
        "style": [(prompt_id, styles.get(video.id)) for prompt_id, video in videos],
    }
    found: dict[tuple[str, str], CutText] = {}
    for metric in metrics:
        for feature in metric.features:
            if feature.text is None or feature.captioned:
                continue
            [name] = feature.backbones
            card = networks.card(name)
            for prompt_id, text in texts[feature.text]:
                if not isinstance(text, str) or (metric.name, text) in found:
                    continue
                read = networks.beginning(name, text)
                if read is not None:
                    found[metric.name, text] = CutText(
                        metric.name, card.name, card.settings.context, prompt_id, text, read
                    )
    return list(found.values())


def warnings(cut: Sequence[CutText]) -> list[str]:
    """One line for each metric that had texts cut: how many, and the first."""
    by_metric: dict[str, list[CutText]] = {}
    for each in cut:
        by_metric.setdefault(each.metric, []).append(each)
    return [
        f"{metric}: {first.network} reads {first.limit} ids of a text; of {_count(1 + len(rest))} "
        f"it read only the beginning. The first: {first.prompt_id}, as far as …{first.read[-40:]!r}"
        for metric, (first, *rest) in by_metric.items()
    ]


def write_cut_texts(cut: Sequence[CutText], folder: Path, protocol: str) -> list[Path]:
    """Writes the texts to a CSV file named after the protocol, or removes it where there are none.

    Returns:
        The file, if there is one.
    """
    path = folder / f"cut_texts.{protocol}.csv"
    if not cut:
        path.unlink(missing_ok=True)
        return []
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(CutText)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in cut)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(out.getvalue())
    return [temporary.replace(path)]


def _count(texts: int) -> str:
    return "1 text" if texts == 1 else f"{texts} texts"
