"""`grambench run` on a real pseudo-terminal of 80x24."""

import signal

from live_runs import Bench, assert_nothing_is_left, report_of

ALTERNATE_SCREEN = b"\x1b[?1049h"
BACK_TO_NORMAL = b"\x1b[?1049l"


def test_q_asks_and_stop_ends_the_run(bench: Bench) -> None:
    with bench.terminal("run", "--preset", bench.preset) as terminal:
        terminal.until_drawn(ALTERNATE_SCREEN)
        terminal.until_says("e2e")
        terminal.type(b"q")
        terminal.until_says("The run is still in progress. Stop it?")
        terminal.type(b"s")
        assert terminal.wait() == 130
        assert_nothing_is_left(terminal.run)
        assert report_of(terminal.run)["run"]["exit_code"] == 130
    assert BACK_TO_NORMAL in terminal.written
    after = terminal.written.rpartition(BACK_TO_NORMAL)[2].decode()
    assert "Traceback" not in terminal.text
    assert f"report: {terminal.run}" in after.replace("\r\n", "")


def test_leaving_it_running_says_how_to_come_back(bench: Bench) -> None:
    with bench.terminal("run", "--preset", bench.preset) as terminal:
        terminal.until_drawn(ALTERNATE_SCREEN)
        terminal.until_says("e2e")
        terminal.type(b"q")
        terminal.until_says("Stop it?")
        terminal.type(b"d")
        assert terminal.wait() == 0
        run = terminal.run
    assert f"`grambench watch {run}` shows it" in terminal.text.replace("\r\n", "")
    assert bench.call("stop", run).code == 0
    assert_nothing_is_left(run)


def test_ctrl_c_asks_as_well_and_prints_no_traceback(bench: Bench) -> None:
    with bench.terminal("run", "--preset", bench.preset) as terminal:
        terminal.until_drawn(ALTERNATE_SCREEN)
        terminal.until_says("e2e")
        terminal.type(b"\x03")
        terminal.until_says("Stop it?")
        terminal.type(b"\x03s")
        assert terminal.wait() == 130
        assert_nothing_is_left(terminal.run)
    assert "Traceback" not in terminal.text


def test_ctrl_c_before_the_first_picture_ends_the_run(bench: Bench) -> None:
    with bench.terminal("run", "--preset", bench.preset) as terminal:
        run = terminal.run
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 75
        assert_nothing_is_left(run)
    assert "Traceback" not in terminal.text


def test_plain_lines_on_a_terminal_draw_nothing(bench: Bench) -> None:
    with bench.terminal("run", "--preset", bench.preset, "--plain") as terminal:
        terminal.until_says("setup: ")
        terminal.type(b"\x03")
        assert terminal.wait() == 75
        assert_nothing_is_left(terminal.run)
    assert ALTERNATE_SCREEN not in terminal.written
    assert "Traceback" not in terminal.text
