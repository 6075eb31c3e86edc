"""`mora models`: the list, fetching and checking, with their exit statuses."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from weights_server import Served, Server, serving

from metrics import networks
from metrics.backbones.card import Address, Published
from metrics.backbones.loading import read_card
from mora.checkpoints import official_weights
from mora.checkpoints.checkpoint import Checkpoint, HubRepository, WebFile
from mora.checkpoints.lock import NAME, Lock
from mora.checkpoints.pull import pull
from mora.checkpoints.tensors import filled
from mora.cli import main, models
from mora.cli.checkpoints import checkpoints

CONF = Path(models.__file__).parents[1] / "conf"


class Machine:
    """A folder of weights, a publisher, and the checkpoints that it publishes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.table: list[Checkpoint] = []

    def publish(
        self,
        name: str,
        content: bytes,
        *,
        known: bool = True,
        member: str | None = None,
        served: bytes | None = None,
    ) -> Checkpoint:
        """Publishes a file, or the archive `served` with it in it."""
        path = f"/{name}.zip" if member else f"/{name}.pth"
        self.server.files[path] = Served(content if served is None else served)
        made = Checkpoint(
            name,
            WebFile(self.server.url(path), member),
            "MIT",
            ("a_metric",),
            path=self.folder / name / f"{name}.pth",
            size=len(content) if known else None,
            sha256=hashlib.sha256(content).hexdigest() if known else None,
        )
        self.table.append(made)
        return made

    def run(self, *arguments: str) -> int:
        return main(["models", *arguments, f"weights_folder={self.folder}"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with serving() as server:
        made = Machine(server, tmp_path / "weights")
        monkeypatch.setattr(models, "checkpoints", lambda *_: made.table)
        yield made


def failures(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("failed: ") for line in lines if line.startswith("failed: ")]


def test_the_list_names_all_that_settings_and_metrics_use(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "own.yaml").write_text(
        "a: {weights: 'hub:some/one', revision: abc, load: {safety_checker: null}}\n"
        "b: {name: svd, weights: 'hub:some/two', revision: def, licence: MIT}\n"
        "c: {weights: /a/local/folder}\n"
    )
    table = {each.name: each for each in checkpoints(tmp_path, [CONF, tmp_path])}
    assert table["dino_vitb16"].path == tmp_path / "dino_vitb16" / "dino_vitbase16_pretrain.pth"
    assert table["svd_xt"].used_by == ("agents.image_to_video=svd_xt",)
    own = table["some/one"]
    assert own.origin == HubRepository("some/one", "abc", without=("safety_checker",))
    assert own.used_by == ("agents=own a",)
    # Two of one name are told apart by their repositories.
    assert table["some/two@def"].licence == "MIT"
    assert "stabilityai/stable-video-diffusion-img2vid@9cf024d5bfa8" in table
    text = "".join(path.read_text() for path in CONF.rglob("*.yaml"))
    named = {line.split()[1] for line in text.splitlines() if " weights: hub:" in f" {line}"}
    listed = {f"hub:{each.origin.repository}" for each in table.values() if each.of_settings}
    assert listed == named | {"hub:some/one", "hub:some/two"}


def test_a_refiner_shares_parts_and_a_checker_is_not_fetched_for_nothing(tmp_path: Path) -> None:
    table = {each.name: each for each in checkpoints(tmp_path, [CONF])}
    refiner = table["sdxl_refiner_1.0"]
    assert refiner.origin.without == ("text_encoder_2", "tokenizer_2", "vae")
    assert refiner.used_by == ("agents.text_to_image=sdxl refiner",)
    assert table["sdxl_1.0"].used_by == (
        "agents.text_to_image=sdxl",
        "agents.text_to_image=sdxl_base",
    )
    assert table["instruct_pix2pix"].origin.without == ()
    settings = (CONF / "agents" / "image_to_image" / "instruct_pix2pix.yaml").read_text()
    (tmp_path / "own.yaml").write_text(f"{settings}\nsafety_checker: false\n")
    unchecked = checkpoints(tmp_path, [tmp_path])[-1]
    assert unchecked.origin.without == ("safety_checker",)


def test_the_list_loads_no_torch(tmp_path: Path) -> None:
    probe = (
        "import sys; from mora.cli import main; status = main(['models', 'list']); "
        "print(status, [name for name in ('torch', 'diffusers', 'transformers') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=os.environ | {"MORA_WEIGHTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"
    assert str(tmp_path) in done.stdout
    assert "CC-BY-NC-SA-4.0" in done.stdout


def test_the_folder_is_the_environments_or_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORA_WEIGHTS", "/some/where")
    assert official_weights() == Path("/some/where")
    monkeypatch.delenv("MORA_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert official_weights() == Path("/cache/mora/weights")


def test_the_list_says_what_is_here(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    here = machine.publish("here", b"weights")
    machine.publish("absent", b"weights", known=False)
    assert here.path is not None
    here.path.parent.mkdir(parents=True)
    here.path.write_bytes(b"weights")
    assert machine.run("list", "format=json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["here"]["here"] == "yes"
    assert rows["here"]["path"] == str(here.path)
    assert rows["here"]["sha256"] == here.sha256
    assert rows["here"]["size"] == 7
    assert rows["absent"]["here"] == "no"
    here.path.write_bytes(b"weig")
    assert machine.run("list") == 0
    told = capsys.readouterr().out
    assert "partly" in told
    assert "not published" in told


def test_pull_fetches_each_and_goes_on_after_a_failure(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    first = machine.publish("first", b"one")
    machine.publish("second", b"two", served=b"TWO")
    third = machine.publish("third", b"three")
    assert machine.run("pull", "all") == 1
    told = capsys.readouterr()
    failed = [line for line in told.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert failed[0].startswith("failed: second: http://127.0.0.1")
    assert "expected " + hashlib.sha256(b"two").hexdigest() in failed[0]
    assert "first: fetched 3 bytes; licence MIT; " in told.out
    assert first.path is not None
    assert third.path is not None
    assert first.path.read_bytes() == b"one"
    assert third.path.read_bytes() == b"three"
    assert machine.run("pull", "first", "third") == 0
    assert "first: was here" in capsys.readouterr().out
    assert len(machine.server.asked) == 3
    assert not (machine.folder / NAME).exists()  # all digests are published


def test_a_damaged_file_is_fetched_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    net = machine.publish("net", b"weights")
    assert net.path is not None
    net.path.parent.mkdir(parents=True)
    net.path.write_bytes(b"damaged")
    assert machine.run("check", "net") == 1
    assert failures(capsys)[0].endswith("delete the file and run `mora models pull net`.")
    assert machine.run("pull", "net") == 0
    assert "it is fetched again" in capsys.readouterr().err
    assert net.path.read_bytes() == b"weights"
    assert machine.run("check", "net") == 0


def test_without_a_published_digest_the_first_is_trusted(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    net = machine.publish("net", b"weights", known=False)
    assert net.path is not None
    assert machine.run("pull", "net") == 0
    assert machine.run("pull", "net") == 0
    assert machine.run("check", "net") == 0
    capsys.readouterr()
    assert machine.run("list", "net", "format=json") == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["sha256"] is None
    assert row["recorded_sha256"] == hashlib.sha256(b"weights").hexdigest()
    net.path.unlink()
    machine.server.files["/net.pth"].content = b"changed"
    assert machine.run("pull", "net") == 1
    failed = failures(capsys)
    assert len(failed) == 1
    assert f"remove net from {machine.folder / NAME}" in failed[0]
    assert not net.path.exists()
    net.path.write_bytes(b"changed")  # by hand
    assert machine.run("check", "net") == 1
    (machine.folder / NAME).unlink()
    assert machine.run("pull", "net") == 0


def zipped(member: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(member, content)
    return made.getvalue()


def test_a_file_is_taken_out_of_its_archive(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = zipped("models/net.pth", b"weights")
    net = machine.publish("net", b"weights", member="models/net.pth", served=archive)
    assert net.path is not None
    assert machine.run("pull", "net") == 0
    assert net.path.read_bytes() == b"weights"
    assert [path.name for path in net.path.parent.iterdir() if path.suffix != ".lock"] == [
        "net.pth"
    ]
    for name, served, said in (
        ("other", zipped("models/other.pth", b"WEIGHTS"), "in it: found sha256"),
        ("empty", zipped("a", b""), "expected a zip archive with models/empty.pth in it"),
        ("text", b"no archive", "expected a zip archive"),
    ):
        machine.publish(name, b"weights", member=f"models/{name}.pth", served=served)
        assert machine.run("pull", name) == 1
        assert said in failures(capsys)[0]
        assert not (machine.folder / name / f"{name}.pth").exists()


def test_two_at_once_fetch_an_archive_once(machine: Machine) -> None:
    archive = zipped("models/net.pth", b"weights")
    net = machine.publish("net", b"weights", member="models/net.pth", served=archive)
    served = machine.server.files["/net.zip"]
    served.stall = threading.Event()
    waited: list[str] = []

    def fetch() -> Path:
        return pull(net, Lock(machine.folder), lambda *_: None, waited.append).place

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(fetch) for _ in range(2)]
        while not waited:  # the second says that it waits
            assert not any(each.done() for each in both)
            time.sleep(0.01)
        served.stall.set()
        places = [each.result(timeout=30) for each in both]
    assert places == [net.path, net.path]
    assert places[0].read_bytes() == b"weights"
    assert len(machine.server.asked) == 1


def test_what_cannot_fit_is_not_begun(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.publish("one", b"12345")
    machine.publish("two", b"12345")
    small = SimpleNamespace(free=9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    assert machine.run("pull", "all") == 2
    assert "found 9 bytes free, expected 10" in capsys.readouterr().err
    assert machine.server.asked == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull"], "pull: expected names behind it, or metrics, or all"),
        (["pull", "nobody"], "nobody: no such checkpoint. There are: net, metrics, all."),
        (["fetch"], "action=fetch: expected one of list, pull, check."),
        (["list", "format=html"], "format=html: expected one of table, json."),
    ],
)
def test_what_cannot_be_carried_out_is_told(
    arguments: list[str], said: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.publish("net", b"weights")
    assert machine.run(*arguments) == 2
    assert capsys.readouterr().err.startswith(f"mora models: {said}")


def test_check_names_what_is_absent_only_if_asked_for(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    net = machine.publish("net", b"weights")
    assert machine.run("check") == 0
    assert "net: is not here" in capsys.readouterr().out
    assert machine.run("check", "metrics") == 1
    assert failures(capsys) == [
        f"net: {net.path}: found no file, expected net; run `mora models pull net`."
    ]


class Trap:
    """Its pickle would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def saved(value: object) -> bytes:
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


def test_check_loads_strictly_and_runs_nothing(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = Published("net", Address("https://a/net.pth"), None, None, "MIT", "a test", ())
    card = facts.card(None, networks.BACKBONES["dino"].official.preprocessing)
    backbone = networks.Backbone(
        lambda card, path, device: filled(
            lambda: torch.nn.Linear(2, 3), read_card(card, path), path, device
        ),
        card,
        replace(card, weights="mini"),
    )
    monkeypatch.setattr(networks, "BACKBONES", {"net": backbone})
    fits = {"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}
    net = machine.publish("net", b"", known=False)
    assert net.path is not None
    net.path.parent.mkdir(parents=True)
    net.path.write_bytes(saved(fits))
    assert machine.run("check", "net") == 0
    assert "as expected, all 2 tensors fit" in capsys.readouterr().out
    net.path.write_bytes(saved({"weight": fits["weight"], "scale": fits["bias"]}))
    assert machine.run("check", "net") == 1
    assert "missing: bias; extra: scale" in failures(capsys)[0]
    net.path.write_bytes(saved({"weight": Trap(tmp_path / "sprung")}))
    assert machine.run("check", "net") == 1
    assert (
        "it asks for posix.mkdir, which is no tensor; nothing in it was run"
        in (failures(capsys)[0])
    )
    assert not (tmp_path / "sprung").exists()
