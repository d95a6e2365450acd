"""Lines for people on any terminal, data for programs in any pipe."""

import csv
import io
import json
import sys

import pytest

from gerund.cli import app as cli
from gerund.core import progress
from gerund.core.printing import HIDDEN, json_text, say, visible
from gerund.core.types import Prediction

EVIL = "a\x1b[31m\x1b]0;pwned\x07\nforged\u202e\x9b2J caf\udce9.mp4"
SEEN = r"a\x1b[31m\x1b]0;pwned\x07\nforged\u202e\x9b2J caf\xe9.mp4"


class Terminal(io.TextIOWrapper):
    """A stream of an encoding; `tty` is what it says it is."""

    def __init__(self, encoding: str, *, tty: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline=None)
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()


@pytest.fixture
def shown(monkeypatch):
    """Run a command whose answer is given, on streams of an encoding; returns the exit code and the bytes of both streams."""

    def shown(result, *words, encoding="utf-8", tty=False):
        out, err = Terminal(encoding, tty=tty), Terminal(encoding, tty=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(cli, "app", lambda words: result)
            code = cli.launch("predict", **dict.fromkeys(words, True))
        return code, out.written(), err.written()

    return shown


def answers(path="a.mp4", label="été"):
    return [Prediction(path=path, scores=[(label, 0.75), ("逆上がり", 0.25)]), Prediction(path=path, error=f"{path}: no video")]


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", "   75.00 %  été   ███████████████"),
        ("cp1252", "   75.00 %  été   ###############"),
        ("ascii", r"   75.00 %  \xe9t\xe9   ###############"),
    ],
)
def test_an_answer_is_printed_in_any_encoding(shown, encoding, line):
    code, out, err = shown(answers(), encoding=encoding)
    assert code == 3
    lines = out.decode(encoding).splitlines()
    assert lines[1] == line
    assert lines[2].startswith("   25.00 %  " + ("逆上がり" if encoding == "utf-8" else r"\u9006\u4e0a\u304c\u308a"))
    assert err.decode(encoding).splitlines() == ["gerund: a.mp4: no video"]


@pytest.mark.parametrize("tty", [True, False])
def test_nothing_in_a_name_or_label_steers_the_terminal_or_forges_a_line(shown, tty):
    _, out, err = shown(answers(EVIL, EVIL), tty=tty)
    lines = out.decode().splitlines()
    assert (lines[0], len(lines)) == (SEEN, 3)
    assert SEEN in lines[1]
    assert err.decode().splitlines() == [f"gerund: {SEEN}: no video"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_data_in_a_pipe_is_utf_8_and_exact(shown, encoding):
    _, out, _ = shown(answers(EVIL, "été █"), "json", encoding=encoding)
    first, second = map(json.loads, out.decode("utf-8").splitlines())
    assert (first["path"], first["label"], second["error"]) == (EVIL, "été █", f"{EVIL}: no video")
    assert not HIDDEN.search(out.decode("utf-8").replace("\n", ""))
    _, out, _ = shown(answers(EVIL, "été █"), "csv", encoding=encoding)
    rows = list(csv.DictReader(io.StringIO(out.decode("utf-8", "surrogateescape"), newline="")))
    assert [(row["path"], row["label"]) for row in rows] == [(EVIL, "été █"), (EVIL, "逆上がり"), (EVIL, "")]


def test_a_csv_on_a_terminal_is_for_people(shown):
    _, out, _ = shown(answers(EVIL), "csv", tty=True)
    assert out.decode().splitlines()[1].startswith(SEEN + ",")


def test_notes_and_errors_are_lines(capsys, monkeypatch):
    progress.note(f"Skipped {EVIL}")
    assert capsys.readouterr().err == f"Skipped {SEEN}\n"
    monkeypatch.setattr(cli, "app", lambda words: (_ for _ in ()).throw(ValueError(EVIL)))
    assert cli.launch("predict", debug=True) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"gerund: ValueError: {SEEN} (run again with --debug for details)"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("text", ["👩‍👩‍👧", "می‌خواهم", "عربي", "a b", "\u3000全角", "e\u0301té", "a\\b"])
def test_what_people_write_is_shown_as_it_is(text):
    assert visible(text) == text
    assert json.loads(json_text({text: [text]})) == {text: [text]}


def test_every_hidden_character_comes_back_from_json():
    letters = [letter for letter in map(chr, range(0x110000)) if HIDDEN.match(letter)]
    made = json_text(letters)
    assert json.loads(made) == letters
    assert not HIDDEN.search(made)


def test_a_bar_on_a_terminal_shows_what_it_is_told_as_it_is(monkeypatch):
    err = Terminal("cp1252", tty=True)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress.progress("Reading [/red] \x07", 2, "files") as bar:
        bar.advance(said="[/x] a\x1b]0;pwned\x07.mp4")
    written = err.written().decode("cp1252")
    assert "Reading [/red] \\x07" in written
    assert "[/x] a\\x1b]0;pwned\\x07.mp4" in written
    assert "\x07" not in written


def test_each_line_is_one_line(capsys):
    say("a", "b\nc", "")
    assert capsys.readouterr().out == "a\nb\\nc\n\n"
