"""The runner: stored stage by stage, shared by content, and dear only to what fails."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.ledger import Ledger
from mora.errors import MachineError
from mora.generator import TaskGenerator, plan
from mora.media import Clip, MediaStore, read_image, read_video
from mora.records import FailureKind, Given, MediaRef, Prompt, Request, Role, TaskName
from mora.runner import Progress, Runner
from mora.tasks.stage import Inputs, Product, Stage, Task, Worker

TASK = TaskName.TEXT_TO_VIDEO
PROMPTS = [Prompt(id=name, text=f"a {name} circle") for name in ("red", "green", "blue", "pink")]


@dataclass
class Studio:
    """Three small stages that note when they are opened, and what they are given."""

    batch_size: int = 2
    broken: Callable[[str], Exception | None] = lambda _: None
    log: list[str] = field(default_factory=list)
    video_name: str = "spin"

    def generator(self, name: str = "toy") -> TaskGenerator:
        stages = (
            self._stage("prompt", ("text",), "text", lambda item: f"{item.text}, {item.seed % 7}"),
            self._stage("picture", ("text",), "image", _draw),
            self._stage(self.video_name, ("image",), "video", _animate),
        )
        return TaskGenerator(name, (Task(TASK, stages),))

    def _stage(self, name, takes, makes, make: Callable[[Inputs], Product]) -> Stage:
        @contextmanager
        def open_model(device: str) -> Iterator[Worker]:
            self.log.append(f"open {name}")

            def work(items: Sequence[Inputs]) -> Iterator[Product]:
                self.log.append(f"{name} x{len(items)}")
                for item in items:
                    error = self.broken(item.text) if name == "picture" else None
                    if error is not None:
                        raise error
                    yield make(item)

            yield work
            self.log.append(f"close {name}")

        return Stage(
            name, f"{name}-model", f"recipe-{name}", takes, makes, self.batch_size, open_model
        )


def _draw(item: Inputs) -> np.ndarray:
    """Grey blocks, which survive the video's compression."""
    blocks = np.random.default_rng(item.seed).integers(0, 255, (4, 4, 1), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1).repeat(3, 2)


def _animate(item: Inputs) -> Clip:
    return Clip(np.stack([np.roll(item.picture(), shift, axis=1) for shift in range(4)]), 7)


def _run(folder: Path, generator: TaskGenerator, prompts=PROMPTS, **settings):
    requests = plan(generator, TASK, prompts, seed=0)
    with Ledger.open(folder, {}) as ledger:
        runner = Runner(ledger, MediaStore(folder), **settings)
        return runner.run(generator, TASK, requests)


def test_goes_stage_by_stage_and_stores_what_each_makes(tmp_path):
    studio = Studio()
    videos = _run(tmp_path, studio.generator())
    assert studio.log == [
        line
        for name in ("prompt", "picture", "spin")
        for line in (f"open {name}", f"{name} x2", f"{name} x2", f"close {name}")
    ]
    assert [video.prompt_id for video in videos] == [prompt.id for prompt in PROMPTS]
    assert [video.text for video in videos] == [prompt.text for prompt in PROMPTS]
    with Ledger.read(tmp_path) as ledger:
        assert ledger.videos() == videos
        made = ledger.artifacts(videos[0].id)
    assert list(made) == ["prompt", "picture", "spin"]
    assert made["prompt"].text.startswith("a red circle, ")
    assert made["spin"].media == videos[0].media
    picture = read_image(tmp_path / made["picture"].media.path)
    clip = read_video(tmp_path / videos[0].media.path)
    assert clip.frames.shape == (4, 32, 32, 3)
    assert abs(clip.frames[0].astype(float) - picture).mean() < 4


def test_a_second_session_makes_nothing_anew(tmp_path):
    first = _run(tmp_path, Studio().generator())
    studio = Studio()
    assert _run(tmp_path, studio.generator()) == first
    assert studio.log == []


def test_a_missing_medium_is_made_again(tmp_path):
    videos = _run(tmp_path, Studio().generator())
    (tmp_path / videos[1].media.path).unlink()
    studio = Studio()
    assert _run(tmp_path, studio.generator()) == videos
    assert studio.log == ["open spin", "spin x1", "close spin"]
    assert (tmp_path / videos[1].media.path).is_file()


def test_generators_share_what_they_would_make_alike(tmp_path):
    _run(tmp_path, Studio().generator("one"))
    studio = Studio(video_name="other")
    videos = _run(tmp_path, studio.generator("two"))
    assert studio.log == ["open other", "other x2", "other x2", "close other"]
    assert {video.model for video in videos} == {"two"}


def test_the_same_request_twice_is_made_once(tmp_path):
    generator = Studio().generator()
    requests = plan(generator, TASK, PROMPTS[:1], seed=0)
    counts: list[Progress] = []
    with Ledger.open(tmp_path, {}) as ledger:
        runner = Runner(ledger, MediaStore(tmp_path), report=counts.append)
        one, two = runner.run(generator, TASK, requests * 2)
    assert one == two
    assert counts[-1].total == 1


def test_an_error_costs_only_its_item(tmp_path):
    def broken(text: str) -> Exception | None:
        return ValueError("no green\npaint left") if "green" in text else None

    studio = Studio(broken=broken)
    counts: list[Progress] = []
    videos = _run(tmp_path, studio.generator(), report=counts.append)
    assert [video.failure is None for video in videos] == [True, False, True, True]
    assert videos[1].failure.kind == FailureKind.UPSTREAM
    assert videos[1].failure.message == "picture failed: ValueError: no green paint left"
    with Ledger.read(tmp_path) as ledger:
        made = ledger.artifacts(videos[1].id)
    assert made["picture"].failure.kind == FailureKind.ERROR
    assert made["spin"].failure.kind == FailureKind.UPSTREAM
    assert (counts[-1].done, counts[-1].total, counts[-1].failed) == (4, 4, 1)
    # The batch (red, green) fails after red is done: green is tried alone, red is not made twice.
    assert [line for line in studio.log if "picture x" in line] == [
        "picture x2",
        "picture x1",
        "picture x2",
    ]


def test_frames_that_cannot_be_stored_cost_only_their_item(tmp_path):
    studio = Studio()
    *stages, last = studio.generator().stages(TASK)

    @contextmanager
    def open_model(device: str) -> Iterator[Worker]:
        yield lambda items: (
            Clip(_animate(item).frames[: 0 if index else 4], 7) for index, item in enumerate(items)
        )

    bound = Task(TASK, (*stages, dataclasses.replace(last, open=open_model)))
    videos = _run(tmp_path, TaskGenerator("toy", (bound,)))
    assert [video.failure is None for video in videos] == [True, False, True, False]
    assert videos[1].failure.kind == FailureKind.ERROR


def test_a_model_that_makes_too_little_is_a_fault_of_the_program(tmp_path):
    studio = Studio()
    *stages, last = studio.generator().stages(TASK)

    @contextmanager
    def open_model(device: str) -> Iterator[Worker]:
        yield lambda items: iter([_animate(items[0])])

    bound = Task(TASK, (*stages, dataclasses.replace(last, open=open_model)))
    with pytest.raises(RuntimeError, match="made 1 results of 2 items"):
        _run(tmp_path, TaskGenerator("toy", (bound,)))


def test_failures_stand_until_they_are_to_be_tried_again(tmp_path):
    failing = Studio(broken=lambda text: ValueError("no") if "pink" in text else None)
    videos = _run(tmp_path, failing.generator())
    studio = Studio()
    assert _run(tmp_path, studio.generator()) == videos
    assert studio.log == []
    mended = _run(tmp_path, studio.generator(), retry_failures=True)
    assert mended[3].failure is None
    assert mended[:3] == videos[:3]
    with Ledger.read(tmp_path) as ledger:
        assert ledger.videos() == mended


@pytest.mark.parametrize(
    ("error", "ends_with"),
    [
        (KeyboardInterrupt(), (KeyboardInterrupt, None)),
        (MemoryError("no room"), (MachineError, "memory does not suffice for a single item")),
        (torch.OutOfMemoryError("CUDA out of memory."), (MachineError, "CUDA out of memory")),
        (torch.AcceleratorError("CUDA error: misaligned"), (MachineError, "GPU failed .*misalig")),
        (OSError(errno.ENOSPC, "No space left"), (OSError, "No space left")),
    ],
)
def test_what_is_no_fault_of_an_item_ends_the_session_and_is_not_recorded(
    tmp_path, error, ends_with
):
    kind, said = ends_with
    with pytest.raises(kind, match=said):
        _run(tmp_path, Studio(broken=lambda _: error).generator())
    with Ledger.read(tmp_path) as ledger:
        assert ledger.videos() == []
        stages = [set(ledger.artifacts(request.id)) for request in ledger.requests()]
    assert stages == [{"prompt"}] * len(PROMPTS), "a fault of the machine was recorded"
    assert all(video.failure is None for video in _run(tmp_path, Studio().generator()))


def test_a_batch_that_is_too_much_for_the_memory_is_made_one_by_one(tmp_path):
    studio = Studio()

    def broken(_: str) -> Exception | None:
        return MemoryError() if studio.log[-1] == "picture x2" else None

    studio.broken = broken
    videos = _run(tmp_path, studio.generator())
    assert [video.failure for video in videos] == [None] * 4
    assert studio.log.count("picture x1") == 4


def test_seeds_differ_by_prompt_and_sample_but_not_by_model():
    one, two = Studio().generator("one"), Studio().generator("two")
    seeds = [request.seed for request in plan(one, TASK, PROMPTS, seed=0, samples=2)]
    assert len(set(seeds)) == 8
    assert seeds == [request.seed for request in plan(two, TASK, PROMPTS, seed=0, samples=2)]
    assert seeds[:2] == [r.seed for r in plan(one, TASK, PROMPTS[:1], seed=0, samples=2)]
    assert seeds[0] != plan(one, TASK, PROMPTS[:1], seed=1)[0].seed


KILLED = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = {paths}
    import test_runner

    def slow(text):
        if "blue" in text and {stall}:
            print("stalled", flush=True)
            time.sleep(600)

    test_runner._run(Path({folder!r}), test_runner.Studio(broken=slow).generator())
"""


def test_killed_and_resumed_gives_the_same_bytes(tmp_path):
    def session(folder: Path, stall: bool) -> subprocess.Popen[str]:
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
        code = textwrap.dedent(KILLED).format(paths=paths, stall=stall, folder=str(folder))
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    killed = session(tmp_path / "killed", stall=True)
    assert killed.stdout.readline() == "stalled\n"
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    with Ledger.read(tmp_path / "killed") as ledger:
        assert ledger.videos() == []
        assert len(ledger.requests()) == 4
    assert session(tmp_path / "killed", stall=False).wait() == 0
    assert session(tmp_path / "whole", stall=False).wait() == 0
    assert _media(tmp_path / "killed") == _media(tmp_path / "whole") != {}
    with Ledger.read(tmp_path / "killed") as one, Ledger.read(tmp_path / "whole") as two:
        assert one.videos() == two.videos()


def _media(folder: Path) -> dict[str, bytes]:
    files = (folder / "media").rglob("*.*")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()}


def test_a_video_names_what_it_was_made_from(tmp_path):
    tasks = (TaskName.EDIT_VIDEO, TaskName.CONNECT_VIDEOS)
    [made] = Studio().generator().bound
    generator = TaskGenerator("toy", tuple(Task(task, made.stages) for task in tasks))
    inputs = tuple(
        MediaRef(sha256=name, path=name, kind="video", width=8, height=8, frames=4, fps=7)
        for name in ("one.mp4", "other.mp4")
    )

    def run(task: TaskName, inputs: tuple[MediaRef, ...]):
        prompt = Prompt(id=task, task=task, text="a red circle")
        request = Request(model="toy", recipe="toy", prompt=prompt, inputs=inputs, seed=1)
        with Ledger.open(tmp_path, {}) as ledger:
            [video] = Runner(ledger, MediaStore(tmp_path)).run(generator, task, [request])
            assert ledger.videos()[-1] == video
        return video

    edited = run(TaskName.EDIT_VIDEO, inputs[:1])
    assert edited.companions == {Role.INPUT_VIDEO: inputs[0]}
    assert edited.given == Given(), "no frame of an edited video is the input's"
    joined = run(TaskName.CONNECT_VIDEOS, inputs)
    assert joined.companions == {Role.VIDEO_BEFORE: inputs[0], Role.VIDEO_AFTER: inputs[1]}
    assert joined.given is None
