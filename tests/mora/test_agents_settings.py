"""Stacks of agents, and seats in them that are swapped by one word."""

from pathlib import Path

import pytest
import yaml

import mora
from mora.agents.binding import ROLES, bind, harmless, require, with_batch_size
from mora.checkpoints import CheckpointError
from mora.cli import main
from mora.errors import SettingError

CONF = Path(mora.__file__).parent / "conf" / "agents"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict]:
    """The agents' settings as the command line understands them."""
    assert main(["generate", *arguments, "--cfg", "job", "--resolve"]) == 0
    return yaml.safe_load(capsys.readouterr().out)["agents"]


def test_a_seat_is_swapped_by_one_word(capsys):
    agents = shown(capsys, "agents.image_to_video=ltx")
    assert agents["image_to_video"]["pipeline"] == "LTXImageToVideoPipeline"
    assert "motion_bucket_id" not in agents["image_to_video"]["call"]
    assert agents["text_to_image"]["name"] == "sdxl_mini"
    both = ["agents=paper", "agents.text_to_image=flux", "agents.image_to_image=qwen_image_edit"]
    agents = shown(capsys, *both)
    assert [agents[role]["name"] for role in ("text_to_image", "image_to_image")] == [
        "flux_schnell",
        "qwen_image_edit",
    ]
    assert "refiner" not in agents["text_to_image"]
    assert agents["image_to_video"]["name"] == "svd_xt"


def test_a_role_that_a_stack_leaves_out_can_be_filled_and_emptied(capsys):
    assert "connection" not in shown(capsys, "agents=paper")
    assert shown(capsys, "agents=paper", "agents.image_to_image=null")["image_to_image"] is None


def test_a_value_that_the_file_leaves_out_can_be_set(capsys):
    agents = shown(capsys, "agents=paper", "agents.text_to_image.call.guidance_scale=7")
    assert agents["text_to_image"]["call"]["guidance_scale"] == 7
    agents = shown(capsys, "agents.image_to_video=wan", "agents.image_to_video.memory=offload")
    assert agents["image_to_video"]["memory"] == "offload"


def test_the_refiner_takes_the_bases_steps(capsys):
    agents = shown(capsys, "agents=paper", "agents.text_to_image.call.num_inference_steps=30")
    assert agents["text_to_image"]["refiner"]["call"]["num_inference_steps"] == 30


def test_an_unknown_choice_lists_the_choices(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "agents.image_to_video=sora"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mora generate: agents.image_to_video=sora: no such choice. There are: ")
    assert {"cogvideox", "hunyuan", "ltx", "svd", "svd_mini", "svd_xt", "wan"} <= set(
        told.replace(".", "").replace(",", "").split()
    )


def test_a_folder_of_your_own_adds_a_model_to_a_seat(capsys, tmp_path):
    seat = tmp_path / "agents" / "image_to_video"
    seat.mkdir(parents=True)
    (seat / "mine.yaml").write_text("name: my_own\n")
    agents = shown(capsys, f"--config-dir={tmp_path}", "agents.image_to_video=mine")
    assert agents["image_to_video"] == {"name": "my_own"}


def test_a_stack_without_choices_says_how_to_have_them(capsys, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "mine.yaml").write_text("name: mine\nimage_to_video: {name: a}\n")
    arguments = [f"--config-dir={tmp_path}", "agents=mine", "agents.image_to_video=ltx"]
    assert main(["generate", *arguments]) == 2
    told = capsys.readouterr().err
    assert "agents.image_to_video: the chosen settings leave no such choice" in told
    assert "- image_to_video: NAME" in told


def test_what_a_run_needs_and_nobody_plays_is_told(tiny_agents):
    agents = bind({"name": "x", "prompt": {"agent": "verbatim"}, "text_to_image": None})
    assert [getattr(agents, role) for role in ROLES[1:]] == [None] * 4
    with pytest.raises(SettingError, match=r"agents.connection: no model plays .*=NAME"):
        require(agents.connection, "connection")
    assert require(agents.prompt, "prompt") is agents.prompt


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"pipeline": "SEINE", "name": "s"}, "agents.connection.unet: Field required"),
        ({"pipeline": "X", "name": "w", "weights": "/x"}, "agents.connection.fps: Field required"),
    ],
)
def test_a_wrong_connection_is_named_by_its_setting(connection, said):
    with pytest.raises(SettingError, match=f"^{said}"):
        bind({"name": "x", "prompt": {"agent": "verbatim"}, "connection": connection})


def test_a_batch_size_is_for_those_who_take_batches():
    settings = {
        "name": "x",
        "text_to_image": {"batch_size": 4},
        "image_to_video": {"one_at_a_time": True},
        "connection": None,
    }
    assert with_batch_size(settings, 2) == settings | {"text_to_image": {"batch_size": 2}}


def test_where_a_model_computes_does_no_harm_to_a_run():
    names = set(harmless())
    assert {"agents.image_to_image.memory", "agents.connection.device"} <= names
    assert not {name for name in names if ".call" in name or ".dtype" in name}


@pytest.mark.parametrize("stack", ["mini", "paper"])
def test_every_shipped_stack_binds(capsys, stack):
    agents = bind(shown(capsys, f"agents={stack}"))
    assert agents.text_to_image is not None
    assert agents.image_to_video is not None
    assert (agents.image_to_image is None) == (stack == "mini")


def test_every_file_begins_by_saying_what_it_is():
    for path in CONF.rglob("*.yaml"):
        assert path.read_text().startswith("# "), path


def test_the_model_that_the_documentation_adds_is_one(tmp_path, capsys):
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    assert len(example.splitlines()) < 30
    seat = tmp_path / "agents" / "image_to_video"
    seat.mkdir(parents=True)
    (seat / "skyreels.yaml").write_text(example)
    settings = shown(capsys, f"--config-dir={tmp_path}", "agents.image_to_video=skyreels")
    agent = bind(settings).image_to_video
    assert agent.reads_text
    # The class and its call are looked at before the weights, which are not here.
    with pytest.raises(CheckpointError, match="/models/SkyReels"), agent.open("cpu"):
        pass


def test_the_documentation_lists_all_that_ships():
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    for role in ("text_to_image", "image_to_image", "image_to_video"):
        for path in (CONF / role).glob("*.yaml"):
            assert f"`{path.stem}`" in page, path
