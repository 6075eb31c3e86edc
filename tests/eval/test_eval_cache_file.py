"""The cache's file: many processes share it, any may be killed, and what is none is refused."""

import multiprocessing
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from cached_scores import plan, score, video

from eval.cache import Cache, CacheError, ScoreCache
from eval.cache.file import VERSION

FORK = multiprocessing.get_context("fork")
"""Processes that need not import anything."""


def write_for_ever(path: Path, first: int) -> None:
    with Cache.open(path) as opened:
        scores = ScoreCache(opened, "here")
        for number in count(first):
            scores.keep(plan(video(number)), video(number), [score(number)])


def test_several_processes_write_at_once_and_are_killed_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    for least in (50, 100):
        writers = [FORK.Process(target=write_for_ever, args=(path, 10**6 * n)) for n in range(3)]
        for writer in writers:
            writer.start()
        lacking = [10**6 * n + least for n in range(3)]
        with Cache.open(path) as opened:
            scores = ScoreCache(opened, "here")
            while lacking and all(writer.is_alive() for writer in writers):
                lacking = [n for n in lacking if next(scores.known(plan(video(n)))) == []]
                time.sleep(0.01)
        for writer in writers:
            writer.kill()
            writer.join()
            assert writer.exitcode == -signal.SIGKILL, "a writer ended by itself"
        with Cache.open(path) as opened:
            assert opened.rows("PRAGMA integrity_check") == [("ok",)]
            for first in (0, 10**6, 2 * 10**6):
                numbers = range(first, first + least)
                [found] = ScoreCache(opened, "here").known(plan(*map(video, numbers)))
                assert found == [score(n).model_copy(update={"seconds": 0.0}) for n in numbers]


def open_together(path: Path, ready: Barrier) -> None:
    ready.wait()
    Cache.open(path).close()


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        path, ready = tmp_path / str(attempt) / "scores.sqlite", FORK.Barrier(6)
        makers = [FORK.Process(target=open_together, args=(path, ready)) for _ in range(6)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        assert [maker.exitcode for maker in makers] == [0] * 6
        with Cache.open(path) as opened:
            assert len(ScoreCache(opened, "here")) == 0


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as sql:
        sql.execute("CREATE TABLE songs (name TEXT)")
    sql.close()


def _newer(path: Path) -> None:
    Cache.open(path).close()
    sql = sqlite3.connect(path)
    sql.execute(f"PRAGMA user_version = {VERSION + 1}")
    sql.close()


BROKEN: Mapping[str, Callable[[Path], object]] = {
    "is an SQLite file of something else": _foreign,
    "is a cache of version 2, this program reads version 1. Remove it": _newer,
    "file is not a database). Remove it": lambda path: path.write_text("no database" * 500),
    "unable to open database file). Put that right": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("said", BROKEN)
def test_a_file_that_is_no_cache_is_named_with_what_to_do_and_left_as_it_is(
    said: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.sqlite"
    BROKEN[said](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CacheError) as error:
        Cache.open(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)
    assert "cache=PATH" in str(error.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_damage_within_the_file_is_told_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with Cache.open(path) as cache:
        for number in range(50):
            ScoreCache(cache, "here").keep(plan(video(number)), video(number), [score(number)])
    raw = bytearray(path.read_bytes())
    raw[4096:] = np.random.default_rng(0).integers(0, 256, len(raw) - 4096, np.uint8).tobytes()
    path.write_bytes(raw)
    with Cache.open(path) as cache, pytest.raises(CacheError, match=r"malformed\)\. Remove it"):
        list(ScoreCache(cache, "here").known(plan(*map(video, range(50)))))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="none with cache=none"):
        Cache.open(tmp_path / "file" / "mora" / "scores.sqlite")


def test_the_size_counts_what_lies_beside_the_file(tmp_path: Path) -> None:
    with Cache.open(tmp_path / "scores.sqlite") as cache:
        cache_of = ScoreCache(cache, "here")
        before = cache.size
        cache_of.keep(plan(video(1)), video(1), [score(1)])
        assert cache.size > before
        assert cache.size == sum(each.stat().st_size for each in tmp_path.iterdir())
