"""Several machines from the command line: the settings of Ray, and Hydra's launcher for Slurm."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from goldens.golden import clip as golden_clip

from eval.distributed.ray_executor import RayExecutor
from eval.ledger import Ledger
from mora.cli import main
from mora.cli.arguments import CONF
from mora.cli.executor import executor_of
from mora.errors import SettingError
from mora.media import write_video


def settings(**changed: object) -> dict[str, object]:
    """Those of `mora evaluate executor=ray`."""
    chosen = yaml.safe_load((CONF / "executor" / "ray.yaml").read_text())
    return {"executor": chosen | changed, "cache": "none"}


def test_the_group_makes_the_executor_with_its_defaults() -> None:
    assert executor_of(settings()) == RayExecutor()
    chosen = settings(workers=3, gpus=0.5, batch_size=4, address="auto", run_at="s3://b/run")
    assert executor_of(chosen | {"cache": "auto"}) == RayExecutor(
        workers=3, gpus=0.5, videos_at_once=4, address="auto", run_at="s3://b/run", same_device=True
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"workers": 0}, "executor.workers=0: expected a whole number, at least 1."),
        ({"cpus": 1.5}, "executor.cpus=1.5: expected a whole number, at least 1."),
        ({"gpus": 2}, "executor.gpus=2: expected a number from 0 to 1."),
        ({"retries": -1}, "executor.retries=-1: expected a whole number, at least 0."),
        ({"videos_per_call": None}, "executor.videos_per_call=None: expected a whole number"),
    ],
)
def test_settings_that_cannot_be_used_are_named(changed: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as told:
        executor_of(settings(**changed))
    assert said in str(told.value)


def test_without_ray_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "eval.distributed.cluster.find_spec", lambda name: None if name == "ray" else found(name)
    )
    with pytest.raises(SettingError, match=r"pip install 'mora-bench\[ray\]'"):
        executor_of(settings())


def test_videos_are_made_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "executor=ray"]) == 2
    assert "executor=ray: videos are made in one process" in capsys.readouterr().err


def test_the_job_script_of_the_documentation_can_be_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (CONF.parents[1] / "docs" / "distributed.md").read_text()
    commands = [line.strip() for line in text.splitlines() if line.strip().startswith("mora ")]
    assert any("submitit_slurm" in command for command in commands)
    assert any("executor.address=auto" in command for command in commands)
    for command in commands:
        _, verb, *arguments = command.split()
        filled = [each for each in arguments if each != "--multirun"]
        assert main([verb, *filled, "--cfg", "job"]) == 0, command
        assert capsys.readouterr().out.startswith("task:" if verb == "generate" else "prompts:")


def test_the_launcher_for_slurm_sends_each_run_as_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(CONF.parents[1]))
    slurm = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]
    assert main(["evaluate", "run=a", *slurm, "--cfg", "hydra", "--package", "hydra.launcher"]) == 0
    launcher = yaml.safe_load(capsys.readouterr().out)
    assert launcher["partition"] == "gpu"
    assert launcher["submitit_folder"].startswith("${hydra.sweep.dir}")
    for name in ("a", "b"):
        write_video(tmp_path / name / "x.mp4", golden_clip(name, 2, 64, 64, 2.0), 7.0)
        videos = [f"videos={name}", "prompts=none", "metrics=[video_length_s]", "report=0"]
        assert main(["evaluate", *videos, f"run={name}", "cache=none"]) == 0
    again = ["metrics=[video_length_s,temporal_style]", "report=0", "cache=none", "captioner=none"]
    local = ["--multirun", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    assert main(["evaluate", "run=a,b", *again, *local]) == 0
    for name in ("a", "b"):
        with Ledger.read(tmp_path / "results" / "runs" / name) as ledger:
            assert {each.metric for each in ledger.all_scores()} == {
                "video_length_s",
                "temporal_style",
            }
    jobs = (tmp_path / "results" / "runs" / "multirun" / ".submitit").glob("*/*_result.pkl")
    assert len(list(jobs)) == 2
