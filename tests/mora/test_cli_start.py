"""Before any work is done: help, versions, wrong verbs and settings. Nothing heavy is loaded."""

import errno
import subprocess
import sys

import pytest

from mora import __version__
from mora.cli import VERBS, main

HEAVY = ("torch", "hydra", "diffusers", "transformers", "numpy", "pandas", "av", "pydantic")


@pytest.mark.parametrize(
    "code",
    ["import mora", "import mora.cli", "from mora.cli import main; main(['--help'])"],
)
def test_the_package_and_its_help_load_nothing_heavy(code):
    probe = f"{code}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_settings_of_a_verb_are_shown_without_torch():
    probe = (
        "import sys; from mora.cli import main; status = main(['demo', '--cfg', 'job']); "
        "print(status, [name for name in ('torch', 'diffusers', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "first: 12" in done.stdout


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"mora {verb}" in told for verb in VERBS)


def test_python_runs_the_package_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "mora", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mora {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_its_settings(verb, capsys):
    assert main([verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"mora {verb}: ")
    assert "$" not in told.split("Settings, changed")[0]


def test_a_folder_of_your_own_adds_choices(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "agents").mkdir(parents=True)
    (tmp_path / "mine" / "agents" / "own.yaml").write_text("name: my_own\n")
    own = ["--config-dir=mine", "agents=own", "model=mora"]
    assert main(["generate", *own, "--cfg", "job", "seed=5"]) == 0
    told = capsys.readouterr().out
    assert "name: my_own" in told
    assert "seed: 5" in told
    assert main(["generate", "--config-dir", "mine", "agents=nobody", "seed=5"]) == 2
    assert "There are: mini, own, paper." in capsys.readouterr().err
    assert main(["generate", *own]) == 2
    assert "agents.prompt: Field required." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "mora: expected a verb. The verbs are: demo, generate"),
        (["dance"], "mora: dance: no such verb. The verbs are: demo, generate"),
        (["generate", "foo=3"], "mora generate: foo: no such setting."),
        (["generate", "seed"], "mora generate: seed: expected name=value."),
        (["generate", "seed=(1"], "mora generate: seed=(1: this cannot be read as name=value."),
        (
            ["generate", "agents=none"],
            "mora generate: agents=none: no such choice. There are: mini",
        ),
        (["generate", "model=mora,me"], "mora generate: model=me: no such choice. There are: mora"),
        (["generate", "prompts=none"], "mora generate: prompts=none: generation needs prompts"),
        (["generate", "prompts=x.jsonl"], "mora generate: x.jsonl: no such prompt set or file."),
        (
            ["generate", "prompts.first=0"],
            "mora generate: prompts.first=0: expected a whole number, at least 1.",
        ),
        (["generate", "prompts.first=all"], "mora generate: prompts.first=all: expected a whole"),
        (
            ["generate", "samples=0"],
            "mora generate: samples=0: expected a whole number, at least 1.",
        ),
        (
            ["generate", "agents.text_to_image.dtype=int"],
            "mora generate: agents.text_to_image.dtype: ",
        ),
        (["generate", "agents.image_to_video.fps=???"], "mora generate: Missing mandatory value"),
        (["evaluate"], "mora evaluate: expected run=NAME, or videos=DIR"),
        (["evaluate", "run=none/such"], "mora evaluate: none/such holds no run"),
        (["evaluate", "videos=none/such"], "mora evaluate: "),
        (["evaluate", "videos=a", "run=b,c"], "mora evaluate: run=b,c: with videos= at most one"),
        (["table"], "mora table: expected run=NAME, or several"),
        (["table", "run=none/such"], "mora table: none/such holds no run"),
        (["table", "run=x", "format=html"], "mora table: format=html: expected one of markdown"),
        (["doctor", "executor.device=tpu9"], "mora doctor: executor.device=tpu9: "),
    ],
)
def test_what_cannot_be_carried_out_is_told_in_one_line(
    arguments, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said", "traced"),
    [
        (ZeroDivisionError("division by zero"), "this is a fault of the program", True),
        (MemoryError("no room"), "MemoryError: no room. What was done is stored", False),
        (OSError(errno.ENOSPC, "No space left"), "OSError: [Errno 28] No space left. What", False),
    ],
)
def test_an_error_that_nobody_foresaw_is_no_failure_of_the_run(
    error, said, traced, capsys, monkeypatch
):
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("mora.cli.generate.read_prompts", broken)
    assert main(["generate"]) == 2, "1 would say that the run has recorded a failure"
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith(f"mora generate: {said}")
    assert ("Traceback" in told) == traced
