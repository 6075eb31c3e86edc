"""Scores one clip on one metric in this process, and prints what that cost, as JSON.

For `benchmarks.cost`, which starts it. The folder of the run holds `clip.json`, the record of its
video. `--write` fills the folder of weights in another process, whose memory does not count.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from goldens import official

from metrics.metric import Metric
from metrics.protocol import load_protocol
from metrics.registry import make_metrics
from mora.records import Prompt, Request, Video


def backbones(metric: Metric) -> list[str]:
    """Networks of a metric, each once."""
    return sorted({name for feature in metric.features for name in feature.backbones})


def resident() -> float:
    """Largest resident set of this process so far, in GB.

    `getrusage` would count the process that started this one, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    [size] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(size) * 1024 / 1e9


@contextmanager
def counted_flops(wanted: bool) -> Iterator[list[int]]:
    """Counts floating-point operations, if wanted; the list holds their number afterwards."""
    total = [0]
    if not wanted:
        yield total
        return
    # Fused attention is not in the counter's books; its plain form is.
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield total
    total[0] = counter.get_total_flops()


def cost(
    metric: Metric, run: Path, networks: official.GoldenNetworks, *, flops: bool
) -> dict[str, float | str | None]:
    """Scores the clip and says what it cost, each GB being 1e9 bytes."""
    from eval import engine
    from eval.ledger import Ledger

    video = Video.model_validate_json((run / "clip.json").read_text())
    prompt = Prompt(id="clip", text="a texture moves left", tags={"style": "night"})
    request = Request(model="texture", recipe="none", prompt=prompt, seed=0)
    with Ledger.open(run, {}) as ledger:
        ledger.add_requests([request])
        ledger.add_videos([video.model_copy(update={"id": request.id, "text": prompt.text})])
        loaded_networks = [networks[name] for name in backbones(metric)]
        loaded = resident()
        started = time.process_time()
        with counted_flops(flops) as operations:
            engine.evaluate(ledger, metric.protocol, networks, metrics=[metric.name])
        seconds = time.process_time() - started
        [score] = ledger.all_scores()
    on_gpu = networks.device.type == "cuda"
    return {
        "parameters": sum(
            parameter.numel() for network in loaded_networks for parameter in network.parameters()
        ),
        "values": len(score.per_frame),
        "flops": operations[0],
        "seconds": seconds,
        "loaded_gb": loaded,
        "peak_gb": resident(),
        "peak_gpu_gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
        "failure": score.failure.message if score.failure else None,
    }


def main() -> None:
    """Writes weights, or measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metric")
    parser.add_argument("--weights", type=Path, required=True, help="folder of weights")
    parser.add_argument("--run", type=Path, help="folder of the run")
    parser.add_argument("--protocol", default="vbench")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--flops", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the weights and end")
    arguments = parser.parse_args()
    [metric] = make_metrics([arguments.metric], load_protocol(arguments.protocol))
    networks = official.GoldenNetworks(arguments.weights, torch.device(arguments.device))
    if arguments.write:
        networks.checkpoints(backbones(metric))
    else:
        print(json.dumps(cost(metric, arguments.run, networks, flops=arguments.flops)))


if __name__ == "__main__":
    main()
