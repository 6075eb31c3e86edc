"""Progress without a terminal: few lines, with what is left and what failed."""

import io

from mora.cli.meter import Meter


def test_a_plain_line_at_the_start_and_at_the_end():
    stream = io.StringIO()
    with Meter(stream) as meter:
        for done in range(4):
            meter.update("draw", done, 3, failed="1 failed" if done > 1 else "")
            meter.update("draw", done, 3, failed="1 failed" if done > 1 else "")
        meter.update("score", 5, 5)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "draw: 0/3"
    assert lines[1].startswith("draw: 3/3, 1 failed, in ")
    assert lines[2:] == ["score: 5/5, 5 from before"]


def test_the_time_left_counts_only_what_was_done_now(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr("mora.cli.meter.time.monotonic", lambda: now[0])
    with Meter(stream) as meter:
        meter.update("draw", 80, 100)
        now[0] = 60.0
        meter.update("draw", 85, 100)
        now[0] = 61.0
        meter.update("draw", 86, 100)
    assert stream.getvalue().splitlines() == [
        "draw: 80/100, 80 from before",
        "draw: 85/100, 80 from before, about 3 min 0 s left",
    ]
