"""Pipelines and files of the hub, from a server that speaks its protocol."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file
from weights_server import Asked, Served, serving

from mora.checkpoints import hub
from mora.checkpoints.check import check_repository, local_folder, part_faults
from mora.checkpoints.checkpoint import Checkpoint, HubFile, HubRepository
from mora.checkpoints.download import DownloadError, Expected
from mora.checkpoints.lock import Lock
from mora.checkpoints.pull import pull
from mora.cli import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLIP = HubRepository("tiny/clip", COMMIT)
SVD = HubRepository("tiny/svd", COMMIT)
DECOYS = {
    "README.md": b"a page",
    "svd.safetensors": b"all in one",
    "unet/diffusion_pytorch_model.bin": b"a pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"halves",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"others",
    "unet/model.onnx": b"another format",
    "vae_old/diffusion_pytorch_model.safetensors": b"no part of it, and yet taken",
    "vae_old/config.json": b"{}",
}
MODEL_DECOYS = {
    "README.md": b"a page",
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"code",
    "onnx/model.onnx": b"another format",
    "tokenizer.json": b"{}",
}
AGENTS = f"""
name: tiny
image_to_video:
  name: svd_tiny
  weights: hub:tiny/svd
  revision: {COMMIT}
  licence: Apache-2.0
captioner:
  - weights: hub:tiny/clip
    revision: {COMMIT}
"""
PULL = """
import json, sys
from pathlib import Path
from mora.cli import main
config, folder, net, commit = sys.argv[1:]
settings = [f"--config-dir={config}", f"weights_folder={folder}"]
pull = ["models", "pull", "svd_tiny", "tiny/clip", *settings]
print(main(pull), main(pull))
from mora.checkpoints.checkpoint import Checkpoint, HubFile
from mora.checkpoints.lock import Lock
from mora.checkpoints.pull import pull
quiet = lambda *_: None
checkpoint = Checkpoint("net", HubFile("tiny/svd", "README.md", commit), "MIT", ("a",), Path(net))
pull(checkpoint, Lock(Path(folder)), quiet, quiet)
"""
"""Pulls a pipeline twice and a single file, in a process whose hub is at HF_ENDPOINT."""


@dataclass
class Pulled:
    """What a process with HF_ENDPOINT brought from a hub on this machine.

    Attributes:
        cache: The hub's cache that was pulled into.
        folder: Folder of the metrics' weights, with the lock file.
        config: Folder of settings that name the pipeline.
        net: A single file.
        theirs: The pipeline's folder as diffusers fetched it.
        told: What was printed.
        asked: Requests for files and listings of the repository.
    """

    cache: Path
    folder: Path
    config: Path
    net: Path
    theirs: Path
    told: list[str]
    asked: list[Asked]


@pytest.fixture(scope="module")
def pulled(tiny_svd: Path, tmp_path_factory: pytest.TempPathFactory) -> Pulled:
    root = tmp_path_factory.mktemp("hub")
    config, folder, net = root / "config", root / "weights", root / "net" / "README.md"
    (config / "agents").mkdir(parents=True)
    (config / "agents" / "tiny.yaml").write_text(AGENTS)
    files = {
        path.relative_to(tiny_svd).as_posix(): path.read_bytes()
        for path in tiny_svd.rglob("*")
        if path.is_file()
    }
    with serving() as server:
        server.add_repository("tiny/svd", COMMIT, files | DECOYS)
        encoder = {
            name.removeprefix("image_encoder/"): content
            for name, content in files.items()
            if name.startswith("image_encoder/")
        }
        server.add_repository("tiny/clip", COMMIT, encoder | MODEL_DECOYS)
        where = {"HF_ENDPOINT": server.address, "HF_HOME": str(root / "home"), "HF_TOKEN": "secret"}
        arguments = [str(each) for each in (config, folder, net, COMMIT)]
        done = subprocess.run(
            [sys.executable, "-c", PULL, *arguments],
            env=os.environ | where,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        asked = [each for each in server.asked if "tiny/svd" in each.target]
        theirs = as_diffusers_fetches(server.address, root / "theirs")
    told = done.stdout.splitlines()
    return Pulled(root / "home" / "hub", folder, config, net, theirs, told, asked)


def as_diffusers_fetches(address: str, cache: Path) -> Path:
    """Lets diffusers fetch the pipeline by itself, in this process, where it is loaded already."""
    import huggingface_hub.hf_api
    from diffusers import DiffusionPipeline

    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub.constants, "ENDPOINT", address)
        patch.setattr(hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(huggingface_hub.hf_api.api, "endpoint", address)
        took = DiffusionPipeline.download(
            "tiny/svd", revision=COMMIT, use_safetensors=True, cache_dir=cache
        )
    return Path(took)


@pytest.fixture
def cache(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache that was pulled into, as this process's own."""
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(pulled.cache))
    return pulled.cache


def test_the_endpoint_is_asked_with_the_token_and_the_licence_told(pulled: Pulled) -> None:
    assert pulled.told[0].startswith("svd_tiny: fetched")
    assert "licence Apache-2.0" in pulled.told[0]
    assert pulled.told[1].startswith("tiny/clip: fetched")
    assert "licence stated on its page" in pulled.told[1]
    assert pulled.told[2].startswith("svd_tiny: was here")
    assert pulled.told[4] == "0 0"
    assert {each.headers.get("Authorization") for each in pulled.asked} == {"Bearer secret"}


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_files_are_those_that_diffusers_takes(pulled: Pulled, cache: Path) -> None:
    folder, missing = local_folder(SVD, Lock(pulled.folder))
    assert folder is not None
    assert missing == []
    assert names(folder) == names(pulled.theirs)
    for name in names(folder):
        assert (folder / name).read_bytes() == (pulled.theirs / name).read_bytes()


def test_each_file_is_fetched_once(pulled: Pulled) -> None:
    ours = [each for each in pulled.asked if each.headers["User-Agent"].startswith("mora-bench")]
    targets = [each.target.rpartition(COMMIT)[2] for each in ours]
    assert sorted(targets) == sorted(f"/{name}" for name in [*names(pulled.theirs), "README.md"])


def test_of_a_model_the_top_is_fetched(pulled: Pulled, cache: Path) -> None:
    folder, missing = local_folder(CLIP, Lock(pulled.folder))
    assert folder is not None
    assert missing == []
    assert names(folder) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert list(check_repository("tiny/clip", CLIP, Lock(pulled.folder))) == []


def test_a_single_file_has_its_own_place_and_its_digest_is_recorded(pulled: Pulled) -> None:
    assert pulled.net.read_bytes() == b"a page"
    entry = Lock(pulled.folder).read()["net"]
    assert entry.sha256 == hashlib.sha256(b"a page").hexdigest()
    assert entry.origin == f"hub:tiny/svd@{COMMIT}/README.md"


def test_what_was_pulled_is_listed_and_checked(
    pulled: Pulled, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--config-dir={pulled.config}", f"weights_folder={pulled.folder}"]
    assert main(["models", "list", "svd_tiny", "format=json", *settings]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["here"] == "yes"
    assert row["used_by"] == ["agents=tiny image_to_video"]
    assert row["licence"] == "Apache-2.0"
    assert main(["models", "check", "svd_tiny", *settings]) == 0
    assert "svd_tiny: all files as published, all tensors fit" in capsys.readouterr().out


def copied(pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the cache, to be damaged; returns the pipeline's folder in it."""
    shutil.copytree(pulled.cache, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder, _ = local_folder(SVD, Lock(pulled.folder))
    assert folder is not None
    return folder


@pytest.mark.parametrize("locked", [True, False])
def test_a_damaged_file_is_named_with_or_without_a_lock_file(
    locked: bool, pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(pulled, tmp_path, monkeypatch)
    lock = Lock(pulled.folder if locked else tmp_path)
    damaged = folder / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.resolve().write_bytes(content)
    faults = list(check_repository("svd_tiny", SVD, lock))
    assert len(faults) == 1
    assert faults[0].startswith(f"{damaged}: found sha256 ")
    assert faults[0].endswith("run `mora models pull svd_tiny`.")


def test_a_missing_file_is_named(
    pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(pulled, tmp_path, monkeypatch)
    (folder / "vae" / "config.json").unlink()
    faults = list(check_repository("svd_tiny", SVD, Lock(pulled.folder)))
    assert faults == [
        f"{folder / 'vae' / 'config.json'}: is missing; run `mora models pull svd_tiny`."
    ]
    shutil.rmtree(folder / "vae")
    assert local_folder(SVD, Lock(tmp_path))[1] == ["vae/"]


@pytest.mark.parametrize(
    ("part", "library", "kind"),
    [
        ("unet", "diffusers", "UNetSpatioTemporalConditionModel"),
        ("image_encoder", "transformers", "CLIPVisionModelWithProjection"),
    ],
)
def test_tensors_that_are_missing_or_left_over_are_named(
    part: str, library: str, kind: str, tiny_svd: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "svd"
    shutil.copytree(tiny_svd, folder)
    assert list(part_faults(folder, part, library, kind, None)) == []
    path = next((folder / part).glob("*.safetensors"))
    tensors = load_file(path)
    name, misfit = sorted(tensors)[:2]
    tensors["stranger"] = tensors.pop(name)
    tensors[misfit] = tensors[misfit].new_zeros(7, 7)
    save_file(tensors, path, metadata={"format": "pt"})
    faults = list(part_faults(folder, part, library, kind, None))
    assert len(faults) == 1
    assert f"missing: {name}" in faults[0]
    assert "extra: stranger" in faults[0]
    assert f"of another shape: {misfit} (7, 7), expected (" in faults[0]


def test_a_part_of_another_library_is_not_loaded(tiny_svd: Path) -> None:
    faults = list(part_faults(tiny_svd, "unet", "subprocess", "Popen", None))
    assert "found a part of subprocess, expected one of diffusers or transformers" in faults[0]
    faults = list(part_faults(tiny_svd, "unet", "diffusers", "logging", None))
    assert "could not be loaded as logging" in faults[0]


def test_one_variant_is_chosen_for_each_part() -> None:
    names = [
        "model_index.json",
        "unet/config.json",
        "unet/w.fp16-00001-of-00002.safetensors",
        "unet/w.fp16-00002-of-00002.safetensors",
        "unet/w.safetensors.index.fp16.json",
        "unet/w-00001-of-00002.safetensors",
        "unet/w-00002-of-00002.safetensors",
        "unet/w.safetensors.index.json",
        "vae/config.json",
        "vae/w.safetensors",
        "vae/w.bin",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "safety_checker/w.safetensors",
        "other/w.safetensors",
    ]
    parts = ("unet", "vae", "tokenizer", "safety_checker")
    halves = hub.needed(names, parts, "fp16", ("safety_checker",))
    assert halves == sorted([*names[:5], *names[8:10], *names[11:13], names[14]])
    whole = hub.needed(names, parts)
    assert whole == sorted([*names[:2], *names[5:10], *names[11:15]])


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (404, {"X-Error-Code": "RepoNotFound"}, "found no such repository"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "found no such commit"),
        (404, {"X-Error-Code": "EntryNotFound"}, "found no such file"),
        (403, {"X-Error-Code": "GatedRepo"}, "accept the licence at https://huggingface.co/a/b"),
        (500, {}, "did not answer as a hub"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_to_do(
    status: int, headers: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        path = f"/a/b/resolve/{COMMIT}/c.bin"
        server.files[path] = Served(b"", then=status, headers=headers)
        url = server.url(path)
        monkeypatch.setattr(hub, "hf_hub_url", lambda *_, **__: url)
        with pytest.raises(DownloadError, match=said) as raised:
            hub.locate(HubFile("a/b", "c.bin", COMMIT))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("a/b at 0123456789ab, c.bin: ")


def test_a_repository_that_cannot_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "enter", lambda file: tmp_path / file.file)
    (tmp_path / "config.json").write_text("{}")
    sizes = {"config.json": 2, "model.safetensors": 7_000, "README.md": 5}
    monkeypatch.setattr(hub, "listing", lambda _: sizes)
    checkpoint = Checkpoint("tiny", CLIP, None, ())
    with serving() as server:
        server.files["/config.json"] = Served(b"{}")
        located = hub.Located(server.url("/config.json"), {}, "a" * 40, Expected())
        monkeypatch.setattr(hub, "locate", lambda _: located)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=6_999))
        with pytest.raises(DownloadError, match="found 6,999 bytes free, expected 7,000 for tiny"):
            pull(checkpoint, Lock(tmp_path), lambda *_: None, lambda _: None)
        assert [each.target for each in server.asked] == ["/config.json"]
