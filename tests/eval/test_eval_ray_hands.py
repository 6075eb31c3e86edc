"""Who has which videos in hand, without a cluster."""

import random

import pytest

from eval.distributed.hands import Hands


def test_every_video_is_handed_out_once_and_less_at_once_towards_the_end() -> None:
    hands = Hands([str(number) for number in range(20)], most=4, retries=2)
    sizes, seen = [], []
    while hands.left:
        taken = hands.take("a", 2)
        sizes.append(len(taken))
        seen += taken
        for each in taken:
            hands.finished("a", each)
    assert seen == [str(number) for number in range(20)]
    assert sizes == [4, 4, 3, 3, 2, 1, 1, 1, 1]


def test_a_video_that_kills_is_given_up_alone_and_the_innocent_are_not() -> None:
    hands = Hands(["good", "killer", "fine"], most=3, retries=1)
    assert hands.take("a", 1) == ("good", "killer")
    assert hands.take("a", 1) == ("fine",)
    assert hands.died("a") == ()
    assert hands.left == 3
    given_up, finished = [], []
    for worker in "bcdefg":
        while taken := hands.take(worker, 1):
            assert len(taken) == 1, "a suspect shares a worker with others"
            assert hands.take(worker, 1) == ()
            if taken == ("killer",):
                given_up += hands.died(worker)
                break
            hands.finished(worker, taken[0])
            finished += taken
    assert given_up == ["killer"]
    assert finished == ["good", "fine"]
    assert hands.deaths == {"good": 1, "killer": 2, "fine": 1}
    assert hands.left == 0


def test_a_worker_empties_its_hands_before_it_takes_a_suspect() -> None:
    hands = Hands(["1", "2", "3", "4"], most=1, retries=1)
    assert hands.take("a", 2) == ("1",)
    assert hands.take("b", 2) == ("2",)
    assert hands.died("b") == ()
    assert hands.take("a", 2) == ()
    hands.finished("a", "1")
    assert hands.take("a", 2) == ("2",)


def test_what_a_worker_no_longer_has_in_hand_does_not_count() -> None:
    hands = Hands(["1", "2"], most=2, retries=2)
    [taken] = hands.take("a", 1)
    hands.died("a")
    with pytest.raises(KeyError, match="a has no 1 in hand"):
        hands.finished("a", taken)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_each_video_comes_out_once(seed: int) -> None:
    chance = random.Random(seed)
    videos = [str(number) for number in range(chance.randrange(1, 40))]
    killers = {each for each in videos if chance.random() < 0.1}
    hands = Hands(videos, chance.randrange(1, 6), chance.randrange(3))
    out: list[str] = []
    lost: list[str] = []
    held: dict[str, list[str]] = {f"{number}": [] for number in range(chance.randrange(1, 5))}
    for step in range(10_000):
        if not hands.left:
            break
        worker = chance.choice(list(held))
        held[worker] += hands.take(worker, len(held))
        if killers & set(held[worker]) or chance.random() < 0.01:
            lost += hands.died(worker)
            del held[worker]
            held[f"new {step}"] = []
        elif held[worker]:
            done = held[worker].pop(0)
            hands.finished(worker, done)
            out.append(done)
    assert sorted(out + lost) == sorted(videos)
    assert not killers & set(out)
