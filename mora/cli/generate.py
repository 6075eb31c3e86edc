"""`mora generate`: videos into a run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from baselines.registry import make_baseline
from eval.ledger import HARMLESS, Ledger
from mora.agents.binding import Agents, bind, harmless, require, with_batch_size
from mora.cli.application import Settings, run
from mora.cli.executor import require_local
from mora.cli.failures import tell_failures
from mora.cli.meter import Meter
from mora.cli.runs import quieten, run_folder, torch_device, whole_number
from mora.errors import SettingError
from mora.generator import Generator, TaskGenerator, plan, recipe
from mora.media import MediaStore
from mora.records import Prompt, TaskName, Video, content_hash
from mora.runner import Progress, Runner
from mora.tasks.text_to_video import text_to_video
from prompts.load import load, locate


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora generate`."""
    return run("generate", arguments, generate)


def generate(settings: Settings) -> int:
    """Makes the videos and says where they are. Returns the exit status."""
    with Meter() as meter:
        videos = make_videos(settings, meter)
    failures = [
        f"{video.model}, {video.prompt_id}: {video.failure.message}"
        for video in videos
        if video.failure is not None
    ]
    made = len(videos) - len(failures)
    print(f"{made} of {len(videos)} videos in {run_folder(settings['run'])}")
    return tell_failures(failures)


def make_videos(settings: Settings, meter: Meter) -> list[Video]:
    """Makes all videos that the settings ask for, model by model, in the run's ledger.

    Raises:
        SettingError: A setting cannot be used.
        PromptSetError: The prompts cannot be read.
        LedgerError: The run is busy, or was asked for with other settings.
        CheckpointError: Weights are missing.
    """
    require_local(settings)
    task = TaskName(settings["task"]["name"])
    prompts = read_prompts(settings, task)
    samples = whole_number("samples", settings["samples"], least=1)
    agents = bind(_with_batch_size(settings))
    generators = [
        make_generator(name, chosen, agents, task) for name, chosen in settings["model"].items()
    ]
    device = torch_device(settings["executor"]["device"])
    quieten()
    folder = run_folder(settings["run"])
    asked = _asked(settings, prompts, generators, task)
    with Ledger.open(folder, asked, harmless=_harmless()) as ledger:
        runner = Runner(
            ledger,
            MediaStore(folder),
            device,
            report=lambda progress: _show(meter, progress),
            retry_failures=settings["retry"],
        )
        videos = []
        for generator in generators:
            requests = plan(generator, task, prompts, settings["seed"], samples)
            videos += runner.run(generator, task, requests)
    return videos


def read_prompts(settings: Settings, task: TaskName) -> tuple[Prompt, ...]:
    """Reads the prompts that the settings name, as many as they ask for."""
    path, first = settings["prompts"]["path"], settings["prompts"]["first"]
    if path is None:
        raise SettingError("prompts=none: generation needs prompts; name a set or a file.")
    prompts = load(locate(path), task)
    return prompts if first is None else prompts[: whole_number("prompts.first", first, least=1)]


def make_generator(
    name: str, settings: Mapping[str, Any], agents: Agents, task: TaskName
) -> Generator:
    """Makes what the group `model` describes: Mora, or one of the baselines."""
    chosen = dict(settings)
    kind = chosen.pop("kind")
    if kind != "mora":
        return make_baseline(kind, name, agents, chosen)
    if task != TaskName.TEXT_TO_VIDEO:
        raise SettingError(f"task={task.value}: Mora can do task=text_to_video only, so far.")
    bound = text_to_video(
        agents.prompt,
        require(agents.text_to_image, "text_to_image"),
        require(agents.image_to_video, "image_to_video"),
    )
    return TaskGenerator(name, (bound,))


def _with_batch_size(settings: Settings) -> dict[str, Any]:
    agents, size = settings["agents"], settings["executor"]["batch_size"]
    return dict(agents) if size is None else with_batch_size(agents, size)


def _asked(
    settings: Settings, prompts: Sequence[Prompt], generators: Sequence[Generator], task: TaskName
) -> dict[str, Any]:
    """What the run is for: with other values of these it would be another run."""
    return {
        "task": settings["task"],
        "agents": settings["agents"],
        "model": settings["model"],
        "seed": settings["seed"],
        "samples": settings["samples"],
        "prompts": {"count": len(prompts), "sha256": content_hash(list(prompts))},
        "recipe": {each.name: recipe(each, task) for each in generators},
    }


def _harmless() -> Collection[str]:
    """Settings that change no result, or that the recipe says more exactly."""
    return (*HARMLESS, *harmless())


def _show(meter: Meter, progress: Progress) -> None:
    meter.update(
        f"{progress.generator}, {progress.stage}",
        progress.done,
        progress.total,
        failed=f"{progress.failed} failed" if progress.failed else "",
    )
