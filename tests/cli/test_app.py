"""The command line: the same names and defaults as the Python API, one clear line for each error, the right exit code."""

import csv
import dataclasses
import inspect
import io
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, get_origin

import numpy as np
import openpyxl
import pytest
from cyclopts import Group

import gerund
from gerund import video
from gerund.cli import app as cli
from gerund.cli.commands import COMMANDS, WORK, overview
from gerund.core import options, settings
from gerund.core.recipes import Recipe
from support.command import one_line, run
from support.reading import read_csv


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of six clips: dark and bright ones."""
    folder = tmp_path_factory.mktemp("cli") / "my clips"
    rng = np.random.default_rng(0)
    for label, low in (("falling asleep", 0), ("waking up é", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            ramp = np.linspace(0, 40, 32).astype(np.uint8)[None, :, None] + low // 2
            frames = (
                np.broadcast_to(np.roll(ramp, step * (1 if low else -1), 1) + rng.integers(3), (32, 32, 3)) for step in range(10)
            )
            video.write(
                folder / label / f"clip {number}.mp4", (np.ascontiguousarray(frame, np.uint8) for frame in frames), fps=10
            )
    return folder


INTERFACE = (Path(__file__).parents[1] / "program" / "interface.txt").read_text(encoding="utf-8")
TRAIN = ("--backbone", "pixels:8", "--num-frames", 4)


@pytest.fixture(scope="module")
def model(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    code, out, err = run("train", clips, *TRAIN, "--out", folder)
    assert code == 0, err
    assert str(folder) in out
    assert "epoch 1/1" in err
    return folder


API_NAMES = {
    "cache": "manage_cache",  # gerund.features.cache is the module
    "evaluate-timeline": "evaluate_timeline",
    "train": "train_all",  # the command trains for several seeds too
}


GROUPS = {value.name for value in vars(options).values() if isinstance(value, Group)}


def api(command):
    return getattr(gerund, API_NAMES.get(command, command))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_the_api_function_of_that_name(command):
    function = api(command)
    target, _ = COMMANDS[command]
    assert target == f"{function.__module__}:{function.__name__}"
    names = {name for argument in cli.app[command].assemble_argument_collection() for name in argument.names}
    for parameter in inspect.signature(function).parameters.values():
        name = cli.flag_name(parameter.name)
        flag = name.upper() if parameter.kind is parameter.VAR_POSITIONAL else f"--{name}"
        known = parameter.name in ("head_options", "settings")  # --head.KEY, and settings that are listed one by one
        assert flag in names or known, f"{command} has no {flag}"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_api_function_has_a_command(command):
    functions = {name for name in gerund.__all__ if inspect.isfunction(getattr(gerund, name))} - {
        "load_dataset",
        "explain",
        "train",
    }
    assert functions == {API_NAMES.get(command, command) for command in COMMANDS}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_argument_is_explained_and_stands_in_a_group(command):
    for argument in cli.app[command].assemble_argument_collection():
        if argument.show:
            assert argument.parameter.help, f"{command}: {argument.name} is not explained"
            assert {group.name for group in argument.parameter.group} <= GROUPS, f"{command}: {argument.name}"
    assert f"`gerund {command} --help`" in (api(command).__doc__ or ""), "who reads the docstring is told where to look"


def test_an_option_is_explained_once():
    explained = [alias.__metadata__[0].help for alias in vars(options).values() if get_origin(alias) is Annotated]
    assert len(explained) > 100
    assert not [text for text, count in Counter(explained).items() if count > 1]


@pytest.mark.parametrize("verb", ["train", "train_all", "compare", "benchmark"])
def test_a_setting_that_a_verb_does_not_have_is_refused(verb):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'epoch'"):
        getattr(gerund, verb)("nowhere", epoch=3)


def test_the_settings_of_a_training_are_those_of_a_recipe():
    assert {*settings.TrainSettings.__annotations__, "data"} == {each.name for each in dataclasses.fields(Recipe)}
    assert settings.CompareSettings.__annotations__.keys() <= settings.TrainSettings.__annotations__.keys()
    assert settings.BenchmarkSettings.__annotations__.keys() <= settings.TrainSettings.__annotations__.keys()


def test_help_lists_the_commands_in_the_order_of_the_work():
    out = "\n".join(overview())
    assert sorted(" ".join(WORK.values()).split()) == sorted(COMMANDS)
    listed = re.findall(r"^ {2}([a-z-]+) {2}", out, re.MULTILINE)
    assert [name for name in listed if name in COMMANDS] == " ".join(WORK.values()).split()


@pytest.mark.parametrize("command", re.findall(r"^gerund (\S+) refuses --csv$", INTERFACE, re.MULTILINE))
def test_csv_is_refused_before_any_work_where_a_result_has_no_rows(command):
    code, out, err = run(command, "--csv", "--nope")
    assert (code, out) == (2, "")
    assert one_line(err) == f"gerund: --csv: {command} has no rows to print; it prints text, or JSON with --json"


def test_help_of_train_shows_groups_and_what_holds_when_nothing_is_said(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = run("train", "--help")
    titles = re.findall(r"─ ([A-Z][\w -]+?)(?:: [\w ]+| \([\w ]+\))? ─", out)
    assert titles[:7] == ["Input", "Recipe", "Backbone", "Time steps", "Head", "Learning over epochs", "Fine-tuning"]
    for flag, default in (
        ("--epochs", "60"),
        ("--lr ", "0.001"),
        ("--head ", "prototype"),
        ("--fps", "8.0"),
        ("--motion", "True"),
    ):
        assert any(flag in line and f"[default: {default}]" in line for line in out.splitlines()), flag


def test_the_list_of_commands_loads_next_to_nothing():
    """What is looked at first is there at once."""
    slow = ("torch", "numpy", "av", "cyclopts", "rich")
    code = f"import sys; sys.argv = ['gerund']; from gerund.__main__ import main; main(); print([n for n in {slow} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for words in (["--help"], ["-h"], ["--quiet", "--help"], ["--quiet"]):
        shown = subprocess.run([sys.executable, "-m", "gerund", *words], capture_output=True, text=True, check=True)
        assert shown.stdout.splitlines() == done.stdout.splitlines()[:-1]


@pytest.mark.parametrize("columns", ["1", "40", "80", "300"])
def test_the_list_of_commands_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    out = "\n".join(overview())
    assert max(map(len, out.splitlines())) <= max(40, min(int(columns), 100))
    assert all(f"  {command} " in out for command in COMMANDS)
    assert all(f"  {flag} " in out for flag in ("--json", "--csv", "--quiet", "--debug", "--help", "--version"))


def test_train_evaluate_and_predict_give_json(model, clips):
    code, out, _ = run("evaluate", model, "--json")
    assert code == 0
    assert json.loads(out)["num_clips"] == json.loads((model / "metrics.json").read_text())["test"]["num_clips"]
    code, out, _ = run("predict", model, clips / "falling asleep", "--json", "--top-k", 1, "--quiet")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(lines) == 6
    assert {line["label"] for line in lines} <= {"falling asleep", "waking up é"}
    assert all(len(line["scores"]) == 1 and line["error"] is None for line in lines)


def test_evaluate_takes_several_runs_and_data(model, clips, tmp_path):
    other = shutil.copytree(model, tmp_path / "second run")
    code, out, _ = run("evaluate", model, other, clips)
    assert code == 0
    assert "(24 clips)" in out
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines[-6:]] == [str(model), str(tmp_path / "second"), "mean", "std", "min", "max"]
    assert lines[-3][1:] == ["0.000"] * 5  # the same model twice: no spread
    code, out, _ = run("evaluate", model, other, "--json")
    values = json.loads(out)
    assert list(values["runs"]) == [str(model), str(other)]
    assert values["spread"]["top1"]["mean"] == pytest.approx(values["top1"])


def test_predict_takes_files_folders_patterns_and_lists(model, clips, tmp_path):
    one = clips / "falling asleep" / "clip 0.mp4"
    (tmp_path / "list.txt").write_text(f"{one}\n# a comment\n\n{clips / 'waking up é' / 'clip 1.mp4'}\n", encoding="utf-8")
    code, out, _ = run(
        "predict", model, one, clips, clips / "falling asleep" / "clip [12].mp4", tmp_path / "list.txt", "--csv", "--top-k", 1
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert len(rows) == 1 + 12 + 2 + 2
    assert rows[0]["path"] == str(one)


def test_predict_shows_ranked_percentages(model, clips):
    code, out, _ = run("predict", model, clips / "falling asleep" / "clip 0.mp4")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].endswith("clip 0.mp4")
    shares = [float(line.split("%")[0]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.02)


def test_a_bad_file_among_good_ones_is_exit_code_3(model, clips, tmp_path):
    bad = tmp_path / "notes.mp4"
    bad.write_text("these are notes")
    code, out, err = run("predict", model, bad, clips / "falling asleep" / "clip 0.mp4")
    assert code == 3
    assert "clip 0.mp4" in out
    assert f"{bad}: not readable as video" in err


def test_index_writes_a_manifest_that_trains_alike(clips, tmp_path):
    code, out, err = run("index", clips, "--out", tmp_path / "clips.csv")
    assert code == 0
    assert "set aside as test, by group" in err
    assert "falling asleep" in out
    code, again, err = run("index", tmp_path / "clips.csv")
    assert (code, again, err) == (0, out, "")


def test_extract_fills_the_cache_once(clips, tmp_path):
    words = ("extract", clips, "--backbone", "pixels:8", "--cache", tmp_path, "--json")
    code, out, err = run(*words)
    assert (code, json.loads(out)) == (0, {"videos": 12, "failed": {}})
    assert "12/12 videos" in err
    code, _, err = run(*words)
    assert (code, err) == (0, f"{clips}: 12 videos.\n")


def test_split_writes_folds_and_shows_how_far_off_they_are(clips, tmp_path):
    run("index", clips, "--out", tmp_path / "all.csv")
    rows = read_csv(tmp_path / "all.csv")
    with (tmp_path / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    code, out, _ = run("split", tmp_path / "clips.csv", "--by", "group", "--folds", 3)
    assert code == 0
    assert [line.split()[:6] for line in out.splitlines()[1:4]] == [
        ["fold", f"{n}", "33.33", "%", "33.33", "%"] for n in (1, 2, 3)
    ]
    assert f"Written: {tmp_path / 'clips-fold3.csv'}" in out
    code, out, _ = run("split", tmp_path / "clips.csv", "--val", 0.25, "--test", 0.25, "--seed", 3, "--json")
    values = json.loads(out)
    assert (code, values["files"]) == (0, [str(tmp_path / "clips-split.csv")])
    assert [share["clips"] for share in values["shares"]] == [6, 3, 3]


def test_frames_writes_folders_and_lists_what_failed(clips, tmp_path):
    source = clips / "falling asleep" / "clip 0.mp4"
    (tmp_path / "bad.mp4").write_text("text")
    (tmp_path / "clips.csv").write_text(f"path,label\n{source},a\nbad.mp4,b\n", encoding="utf-8")
    code, out, err = run("frames", tmp_path / "clips.csv", "--out", tmp_path / "out", "--fps", 5, "--size", 16)
    assert code == 3
    assert "1 folders written, 0 were there already, 1 failed" in out
    assert "bad.mp4: not readable as video" in err
    assert "train on these with --fps native" in err
    code, out, _ = run("frames", tmp_path / "clips.csv", "--out", tmp_path / "out", "--fps", 5, "--size", 16, "--json")
    values = json.loads(out)
    assert (code, values["written"], values["kept"], len(values["failed"])) == (3, 0, 1, 1)


def test_download_takes_archives_at_hand(tmp_path):
    with zipfile.ZipFile(tmp_path / "ucf101_top5.zip", "w") as file:
        for side in ("train", "test"):
            file.writestr(f"{side}.csv", f"video_name,tag\nv_Punch_g01_{side[0]}_c01.avi,Punch\n")
    words = ("download", "ucf101-top5", tmp_path / "data set", "--from", tmp_path / "ucf101_top5.zip")
    code, out, _ = run(*words)
    assert (code, out) == (0, f"Next: gerund train ucf101-top5:{tmp_path / 'data set'}\n")
    code, out, _ = run(*words, "--json")
    assert json.loads(out) == {"data": f"ucf101-top5:{tmp_path / 'data set'}", "folders": []}


def test_info_tells_versions_device_and_cache():
    code, out, _ = run("info", "--json")
    values = json.loads(out)
    assert code == 0
    assert (values["versions"]["torch"] == "not installed") == (find_spec("torch") is None)
    assert {"device", "engine", "decoder", "cache_bytes"} <= set(values)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("train", "{tmp}/nowhere"), 1, "nowhere: no such file or folder"),
        (("train", "{tmp}/empty"), 1, "no clips found"),
        (("train", "{tmp}/single"), 1, "only one class, 'jump'"),
        (("train", "{tmp}/lonely"), 1, "class 'run' has clips of one group only"),
        (("train", "nope:{tmp}"), 2, "unknown data set 'nope'"),
        (("train", "{tmp}/wrong.csv"), 1, "wrong.csv:1: unknown column 'lable'"),
        (("train", "{tmp}/late.csv"), 1, "late.csv:3: column 'end': 1 is before start, 2"),
        pytest.param(("train", "{clips}", "--backbone", "nope"), 2, "unknown backbone 'nope'", marks=pytest.mark.torch),
        (("train", "{clips}", "--head", "nope"), 2, "unknown head 'nope'"),
        (("train", "{clips}", "--head.nope", "1"), 2, "has no option --head.nope"),
        (("train", "{clips}", "--nope", "1"), 2, "--nope"),
        (("train", "{clips}", "--fit", "bend"), 2, "bend"),
        pytest.param(
            ("train", "{clips}", "--weights", "{tmp}/none.safetensors", "--backbone", "test_vit"),
            1,
            "none.safetensors: no such file",
            marks=pytest.mark.torch,
        ),
        (("train",), 2, "data"),
        (("train", "{clips}", "--time", "10"), 2, "--time 10: of what? Write 10s, 10m or 10h"),
        (("train", "{clips}", "--recipe", "hybrid"), 2, "unknown recipe 'hybrid'; did you mean hybrid-transformer?"),
        (("predict", "{model}", "{clips}", "--top-k", "0"), 2, "--top-k 0: at least 1 is needed"),
        (("predict", "{tmp}/nowhere", "x.mp4"), 1, "nowhere: no such model folder"),
        (("predict", "{model}"), 2, "predict: INPUTS is missing (Videos, folders"),
        (("frames", "{clips}"), 2, "frames: --out is missing (Folder for the images)"),
        (("frames", "{clips}", "--out"), 2, "frames: --out has no value"),
        (("nope",), 2, "nope"),
        (("predict", "{model}", "x.mp4"), 1, "x.mp4: no such file"),
        (("predict", "{tmp}/empty", "{clips}"), 1, "not a model folder"),
        (("predict", "{model}", "{tmp}/*.avi"), 1, "no file fits this pattern"),
        (("evaluate", "{model}", "{tmp}/nowhere"), 1, "no such file or folder"),
        (("evaluate", "{model}", "{clips}", "{tmp}/empty"), 2, "empty are no runs, and one data set is evaluated at a time"),
        (("split", "{clips}", "--folds", "1"), 2, "--folds 1: at least 2 are needed"),
        (("split", "{clips}", "--by", "luck"), 2, "luck"),
        (("download", "imagenet", "{tmp}"), 2, "unknown data set 'imagenet'"),
        (("download", "hmdb51", "{tmp}", "--from", "{tmp}/late.csv"), 2, "late.csv: no such file, or not one of"),
    ],
)
def test_a_mistake_gives_one_clear_line_and_its_exit_code(words, code, message, clips, model, tmp_path):
    (tmp_path / "empty").mkdir()
    source = clips / "falling asleep"
    for name, count in (("single/jump", 3), ("lonely/jump", 3), ("lonely/run", 1)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / name / f"{number}.mp4").symlink_to(source / f"clip {number}.mp4")
    (tmp_path / "wrong.csv").write_text("path,lable\na.mp4,jump\n")
    (tmp_path / "late.csv").write_text("path,label,start,end\na.mp4,jump,0,1\na.mp4,jump,2,1\n")
    places = {"tmp": tmp_path, "clips": clips, "model": model}
    found, _, err = run(*(str(word).format(**places) for word in words))
    assert found == code, err
    assert message in one_line(err)


def test_a_training_clip_that_cannot_be_read_is_exit_code_3(clips, tmp_path):
    shutil.copytree(clips, tmp_path / "clips")
    (tmp_path / "clips" / "falling asleep" / "broken.mp4").write_text("text")
    code, out, _ = run("train", tmp_path / "clips", *TRAIN, "--out", tmp_path / "model", "--quiet", "--json")
    assert code == 3
    assert list(json.loads(out)["failed"]) == [str(tmp_path / "clips" / "falling asleep" / "broken.mp4")]
    assert "broken.mp4: not readable as video" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")


def test_a_class_of_undecodable_clips_is_named(clips, tmp_path):
    for label in ("jump", "run"):
        (tmp_path / label).mkdir()
        for number in range(4):
            target = tmp_path / label / f"{number}.mp4"
            if label == "jump":
                target.write_text("text")
            else:
                target.symlink_to(clips / "falling asleep" / f"clip {number}.mp4")
    code, _, err = run("train", tmp_path, *TRAIN, "--out", tmp_path / "model")
    assert code == 1
    assert "no training clip of jump can be used" in one_line(err)
    assert err.count("not readable as video") == 4


def test_ctrl_c_ends_with_130(clips, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gerund.data.index.load_dataset", interrupted)
    code, _, err = run("index", clips)
    assert code == 130
    assert "interrupted" in one_line(err)


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells start what runs in the background
class CtrlC:
    def find_spec(self, name, *_):
        if name == "PACKAGE":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from gerund.__main__ import main
sys.argv = ["gerund", "train", "nothing"]
main()
"""


@pytest.mark.parametrize("while_importing", ["cyclopts", "numpy"])
def test_ctrl_c_while_packages_are_imported_is_one_line_also_in_the_background(while_importing):
    code = INTERRUPTED.replace("PACKAGE", while_importing)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "gerund: interrupted\n")


@pytest.mark.torch
def test_a_package_that_does_not_load_is_one_line(tmp_path):
    (tmp_path / "av.py").write_text("raise ImportError('libcuda.so: no such file')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['gerund', 'train', 'x']; from gerund.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gerund: a package of this installation does not load (libcuda.so: no such file)")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path):
    code, _, err = run("index", tmp_path / "nowhere", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_the_installed_command_runs(tmp_path):
    command = Path(sys.executable).with_name("gerund")
    started = time.monotonic()
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gerund.__version__
    assert time.monotonic() - started < 60


@pytest.mark.torch
@pytest.mark.parametrize(
    "words",
    [
        "predict M a.mp4 --top-k 0",
        "predict M a.mp4 --unknown-threshold nan",
        "timeline M a.mp4 --window nan",
        "timeline M a.mp4 --threshold nan",
        "timeline M a.mp4 --min-duration inf",
        "watch M a.mp4 --timeout inf",
        "watch M a.mp4 --reconnect nan",
        "train D --lr nan",
        "train D --lr inf",
        "train D --weight-decay nan",
        "train D --label-smoothing nan",
        "train D --warmup nan",
        "train D --val nan",
        "train D --fps nan",
        "train D --seed -1",
        "train D --workers 0",
        "pretrain D --span inf",
        "pretrain D --hidden nan",
        "pretrain D --weight-decay -1",
        "pretrain D --seed -1",
        "extract D --workers 0",
        "extract D --ray auto --gpus-per-actor -1",
        "extract D --ray auto --actors 0",
        "frames D --out o --fps inf",
        "cache prune --older-than -1",
        "cache prune --older-than nan",
        "split D --val nan",
    ],
)
def test_a_number_that_cannot_be_is_wrong_usage(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        monkeypatch.setattr("sys.argv", ["gerund", *words.split()])
        cli.main()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "why", "extra"),
    [
        (("pretrain", "x"), "gerund pretrain trains an encoder", "torch"),
        (("export", "x", "{out}"), "gerund export writes graphs by way of torch", "onnx"),
    ],
)
def test_a_command_of_the_workshop_says_what_it_needs(words, why, extra, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    told = ["gerund", *(word.format(out=tmp_path / "out") for word in words)]
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = {told!r}; from gerund.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert one_line(done.stderr) == f"gerund: {why}, which needs torch; pip install 'gerund[{extra}]'"


def test_rows_go_into_a_workbook_beside_what_is_printed(clips, model, tmp_path):
    code, out, _ = run("index", clips, "--xlsx", tmp_path / "list.xlsx")
    assert code == 0
    assert "class" in out
    rows = list(openpyxl.load_workbook(tmp_path / "list.xlsx")["gerund"].values)
    assert rows[0] == ("path", "label", "start", "end", "split", "group")
    assert len(rows) == 1 + len(gerund.index(clips))
    video = next((clips / "falling asleep").iterdir())
    code, out, _ = run("predict", model, video, "--json", "--xlsx", tmp_path / "p.xlsx")
    header, row = openpyxl.load_workbook(tmp_path / "p.xlsx")["gerund"].values
    assert row[header.index("label")] == json.loads(out)["label"]
    code, out, _ = run("predict", model, video, "--excel")
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("info", "--excel"), "--excel: info has no rows to print"),
        (("info", "--xlsx", "a.xlsx"), "--xlsx a.xlsx: info has no rows to print"),
        (("index", "x", "--xlsx", "a.xls"), "--xlsx a.xls: a file ending in .xlsx is needed"),
        (("index", "x", "--xlsx", "nowhere/a.xlsx"), "--xlsx nowhere/a.xlsx: there is no folder nowhere"),
        (("index", "x", "--csv", "--excel"), "--csv and --excel: a CSV is for programs or for a spreadsheet"),
        (("watch", "m", "0", "--xlsx", "a.xlsx"), "--xlsx a.xlsx: not with watch, which may never end"),
    ],
)
def test_a_workbook_that_cannot_be_is_refused_before_any_work(words, message):
    code, _, err = run(*words)
    assert (code, message in one_line(err)) == (2, True)
