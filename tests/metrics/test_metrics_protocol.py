import pytest
from pydantic import ValidationError

from metrics.protocol import Protocol, load_protocol, protocol_names
from metrics.registry import METRICS, make_metrics


def test_the_protocols_that_come_with_the_project() -> None:
    assert protocol_names() == ["paper", "sound", "vbench"]
    for name in protocol_names():
        assert load_protocol(name).name == name


def test_the_choices_that_set_the_protocols_apart() -> None:
    vbench, paper, sound = map(load_protocol, ("vbench", "paper", "sound"))
    assert (vbench.imaging_resize, paper.imaging_resize) == ("longer", "none")
    assert (vbench.appearance_text, paper.appearance_text) == ("style", "prompt")
    assert (vbench.dynamic_least_pairs, sound.dynamic_least_pairs) == (0, 1)
    weighted = {name for name in METRICS if vbench.weighting(name) == "frames"}
    assert weighted == {"object_consistency", "background_consistency", "appearance_style"}
    assert {protocol.weighting(name) for protocol in (paper, sound) for name in METRICS} == {
        "videos"
    }


def test_the_choices_of_each_metric_tell_protocols_with_other_numbers_apart() -> None:
    def choices(protocol: str) -> dict[str, object]:
        return {m.name: m.choices for m in make_metrics(list(METRICS), load_protocol(protocol))}

    vbench, paper, sound = map(choices, ("vbench", "paper", "sound"))
    assert {name for name in METRICS if paper[name] != sound[name]} == {
        "dynamic_degree",
        "imaging_quality",
        "tcon",
        "tmean",
    }
    assert {name for name in METRICS if vbench[name] != sound[name]} == {
        "object_consistency",
        "background_consistency",
        "appearance_style",
        "dynamic_degree",
        "tcon",
        "tmean",
    }


def test_names_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="protocol=vbnch is not known; there are: paper, sound"):
        load_protocol("vbnch")
    with pytest.raises(ValueError, match="metrics: sharpness not known; there are: object"):
        make_metrics(["object_consistency", "sharpness"], load_protocol("sound"))
    with pytest.raises(ValueError, match="a name comes twice"):
        make_metrics(["imaging_quality", "imaging_quality"], load_protocol("sound"))


def test_a_protocol_says_all_and_nothing_else() -> None:
    fields = load_protocol("sound").model_dump()
    assert Protocol.model_validate(fields | {"imaging_resize": None}).imaging_resize == "none"
    for broken in (
        {key: value for key, value in fields.items() if key != "flow_rate"},
        fields | {"imaging_size": 512},
        fields | {"appearance_text": "caption"},
    ):
        with pytest.raises(ValidationError):
            Protocol.model_validate(broken)
