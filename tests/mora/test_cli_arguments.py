"""What is typed, as Hydra reads it."""

import pytest

from mora.cli.arguments import prepare


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["seed=3", "--cfg", "job"], ["seed=3", "--cfg", "job"]),
        (["model=mora,still"], ["model=[mora,still]"]),
        (["model=[mora,still]"], ["model=[mora,still]"]),
        (["metrics=dynamic_degree"], ["metrics=[dynamic_degree]"]),
        (["run=a,b"], ["run=['a','b']"]),
        (["run='a,b'"], ["run='a,b'"]),
        (["videos=/my clips (1)/a=b"], ["videos=['/my clips (1)/a=b']"]),
        (["videos=it's"], ["videos=['it\\'s']"]),
        (["out=tables, new"], ["out='tables, new'"]),
        (["out=null"], ["out=null"]),
        (["prompts=none"], ["prompts=none"]),
        (["prompts=my set.jsonl"], ["prompts=file", "prompts.path='my set.jsonl'"]),
        (["prompts.path=a b.jsonl"], ["prompts.path='a b.jsonl'"]),
        (["-m", "run=a,b"], ["-m", "run=['a'],['b']"]),
        (["-m", "out=a,b"], ["-m", "out='a','b'"]),
        (["--multirun", "model=mora,still"], ["--multirun", "model=[mora],[still]"]),
        (["~prompts"], ["~prompts"]),
        (["agents.image_to_video=ltx"], ["agents/image_to_video=ltx"]),
        (["agents/image_to_video=ltx"], ["agents/image_to_video=ltx"]),
        (["-m", "agents.image_to_video=ltx,wan"], ["-m", "agents/image_to_video=ltx,wan"]),
        (["agents.connection=null"], ["++agents.connection=null"]),
        (["agents.image_to_video={fps: 3}"], ["++agents.image_to_video={fps: 3}"]),
        (["agents.text_to_image.call.width=64"], ["++agents.text_to_image.call.width=64"]),
        (["agents.name=mine"], ["agents.name=mine"]),
        (["agents=mini"], ["agents=mini"]),
    ],
)
def test_lists_and_paths_are_written_as_people_do(typed, read):
    assert prepare(typed, lists_of_texts=("run",)) == read


def test_a_run_that_is_written_to_is_one_name():
    assert prepare(["run=a,b"]) == ["run='a,b'"]
