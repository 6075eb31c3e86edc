"""SEINE's weights among those that `mora models` lists, pulls and checks."""

from pathlib import Path

import pytest
import yaml

from mora.checkpoints.checkpoint import UNPINNED, HubFile, HubRepository
from mora.cli import main, models
from mora.cli.checkpoints import checkpoints

CONF = Path(models.__file__).parents[1] / "conf"
SETTINGS = CONF / "agents" / "connection" / "seine.yaml"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_list_names_both_and_leaves_their_commits_open(tmp_path: Path) -> None:
    table = {each.name: each for each in checkpoints(tmp_path, [CONF])}
    unet, parts = table["xinyuanc91/SEINE"], table["CompVis/stable-diffusion-v1-4"]
    assert unet.origin == HubFile("xinyuanc91/SEINE", "seine.pt", UNPINNED)
    assert unet.used_by == ("agents.connection=seine unet",)
    without = ("feature_extractor", "safety_checker", "scheduler", "unet")
    assert parts.origin == HubRepository("CompVis/stable-diffusion-v1-4", UNPINNED, without=without)
    assert not unet.pinned
    assert not parts.pinned


@pytest.mark.parametrize("action", ["pull", "check"])
def test_a_commit_that_nobody_chose_is_told(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", action, "xinyuanc91/SEINE"]) == 1
    said = capsys.readouterr().err
    assert "revision: null in agents.connection=seine unet" in said
    assert "--config-dir FOLDER" in said


def test_settings_of_ones_own_choose_the_commit(tmp_path: Path) -> None:
    chosen = yaml.safe_load(SETTINGS.read_text())
    chosen["unet"]["revision"] = COMMIT
    own = tmp_path / "agents" / "connection"
    own.mkdir(parents=True)
    (own / "seine.yaml").write_text(yaml.safe_dump(chosen))
    listed = [each for each in checkpoints(tmp_path, [CONF, tmp_path]) if "SEINE" in each.name]
    assert [each.origin for each in listed] == [HubFile("xinyuanc91/SEINE", "seine.pt", COMMIT)]
    assert listed[0].pinned
    assert listed[0].path == tmp_path / "xinyuanc91--SEINE" / COMMIT[:12] / "seine.pt"
