"""Streams and lines of the command line: encodings, escape sequences, secrets, full devices."""

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from grambench.cli.app import main
from grambench.cli.output import say_json
from grambench.cli.screen import Screen
from grambench.text import redacted, safe_json, safe_lines


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("https://ann:pass@host/x", "https://…@host/x"),
        ("proxy http://u:p%40q@proxy:3128 failed", "proxy http://…@proxy:3128 failed"),
        ("https:/ann:pa@ss@host", "https:/…@host"),
        ("https://h/x?a=1&access_token=abc&b=2", "https://h/x?a=1&access_token=…&b=2"),
        ("https://h/x?X-Amz-Signature=abc'", "https://h/x?X-Amz-Signature=…'"),
        ("--set a.token=hf_AbCdEfGhIjKlMnOpQr", "--set a.token=hf_…"),
        ('{"a":"https://u:p@h","b":"x@y"}', '{"a":"https://…@h","b":"x@y"}'),
        ("https://msnews.github.io/a@b ?key=1", "https://msnews.github.io/a@b ?key=…"),
        ("ann@example.com, ratio 1:2", "ann@example.com, ratio 1:2"),
    ],
)
def test_secrets_are_redacted(text: str, without: str) -> None:
    assert redacted(text) == without
    assert redacted(without) == without


def test_redaction_takes_linear_time() -> None:
    for text in ("://" * 100_000, "?" + "token" * 60_000, "://" + "a" * 400_000, "hf_" * 200_000):
        assert redacted(text) == text


def test_lines_stay_lines() -> None:
    assert safe_lines("a  b\n\x1b[2J\u202ec\n") == "a  b\n\ufffd[2Jc\n"


def test_json_says_the_same_in_other_characters() -> None:
    text = json.dumps({"×": "\x1b\x9b\u202e\U0001f44d\x7f"}, ensure_ascii=False)
    for ascii_only in (True, False):
        written = safe_json(text, ascii_only=ascii_only)
        assert json.loads(written) == json.loads(text)
        assert written.isprintable()
    assert safe_json(text, ascii_only=True).isascii()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_of_another_encoding_spells_what_it_lacks(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="grambench.spelled")
    stream.write("3.8× — 5 ≥ 4, é 日 → …")
    stream.flush()
    times, e = ("×", "é") if encoding == "latin-1" else ("x", "e")
    assert stream.buffer.getvalue().decode(encoding) == f"3.8{times} - 5 >= 4, {e} ? -> ..."  # type: ignore[attr-defined]


def test_json_on_such_a_stream_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    say_json('"3.8×"\n')
    stream.flush()
    assert stream.buffer.getvalue() == b'"3.8\\u00d7"\n'  # type: ignore[attr-defined]


def test_tables_show_no_control_characters_and_no_markup() -> None:
    screen = Screen(file=io.StringIO(), force_terminal=True, width=60)
    screen.print("[link=x]a\x1b]8;;http://evil\x07\u202eb[/link]", highlight=False)
    assert screen.file.getvalue() == "[link=x]a\ufffd]8;;http://evilb[/link]\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("where", "code"), [(">/dev/full", 4), (">&-", 0), ("2>/dev/full", 0), ("| head -1", 0)]
)
def test_a_stream_that_takes_nothing_is_no_bug(where: str, code: int) -> None:
    command = f"{sys.executable} -m grambench presets {where}; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert ended.returncode == code, ended.stderr
    assert ("No space left on device" in ended.stderr) == (code == 4)


def test_a_reader_that_leaves_at_once_is_no_bug() -> None:
    """Each line is written as it is printed, so that typer meets the closed pipe."""
    command = f"{sys.executable} -u -m grambench presets demo | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_messages_that_cannot_be_written_end_nothing() -> None:
    code = (
        "import sys; from grambench.cli.output import open_streams;"
        " from grambench.cli.steps import PlainSteps; open_streams(); PlainSteps(sys.stderr).note('a');"
        " sys.stderr.write('b'); print(sys.stderr.fileno())"
    )
    command = f'{sys.executable} -c "$0" 2>/dev/full'
    ended = subprocess.run(["bash", "-c", command, code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "2\n")


def test_a_password_among_the_settings_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "--preset", "demo", "--set", "encoder.model=https://ann:s3cret@host/m"]
    monkeypatch.setattr(sys, "argv", ["grambench", *words])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert "encoder.model holds a password or a token" in said.err
    assert "s3cret" not in said.out + said.err
    assert not list(tmp_path.iterdir())
