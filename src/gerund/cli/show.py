"""Results on the terminal: as text, JSON or CSV, and the exit code that goes with them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from gerund.core import progress
from gerund.core.printing import cell, json_text, prepare_data, say, visible

if TYPE_CHECKING:
    from rich.live import Live

    from gerund.core.types import Clip, Prediction, Timeline
    from gerund.data.download import Download
    from gerund.data.frames import FrameFolders
    from gerund.data.split import Splitting
    from gerund.diagnosis.doctor import Diagnosis
    from gerund.features.extractor import Extraction
    from gerund.features.packed import Packed
    from gerund.learning.pretrain import Pretraining
    from gerund.live.spotter import Event, Watch
    from gerund.recognition.evaluate import Evaluation
    from gerund.recognition.export import Export
    from gerund.timelines.evaluate import TimelineEvaluation
    from gerund.training.benchmark import Benchmark
    from gerund.training.compare import Comparison
    from gerund.training.repeat import Trainings
    from gerund.training.train import Training

Style = Literal["text", "json", "csv"]
BAR = 20
FEW = 5
SOME_FAILED = 3


def show(command: str, result: Any, style: Style) -> int:
    """Print a result; returns the exit code: 3 when some inputs failed, or a check has findings."""
    if style != "text":
        prepare_data(style)
    return SHOW.get(command, show_values)(result, style)


def show_trainings(trainings: Trainings, style: str) -> int:
    runs = list(trainings.runs.values())
    if len(runs) == 1:
        return show_training(runs[0], style)
    if style == "json":
        measured = {str(each.run): each.metrics for each in runs}
        print_json({"run": str(trainings.run), "metrics": trainings.metrics, "runs": measured})
    else:
        print_trainings(trainings)
    return max(exit_code(each) for each in runs)


def print_trainings(trainings: Trainings) -> None:
    test, count, per_split = trainings.test, len(trainings.runs), trainings.per_split
    if test is not None:
        print_evaluation(test)
        print_runs(test)
        say("")
        for split, top1 in per_split.items():
            if split is not None:
                seeds = count // len(per_split)
                say(f"split {split}: top-1 {percent(top1)}{f', mean of {seeds} seeds' * (seeds > 1)}")
        of = test.spread["top1"]
        say(
            f"all: top-1 {percent(of['mean'])}, mean of {count} runs; standard deviation {percent(of['std'])}, "
            f"from {percent(of['min'])} to {percent(of['max'])}"
        )
    say("", f"Runs: {trainings.run}, each with its report.html")


def show_training(training: Training, style: str) -> int:
    if style == "json":
        values = {"run": str(training.run), "model": str(training.model), "metrics": training.metrics}
        print_json(values | {"failed": training.failed})
    else:
        if training.test is not None:
            print_evaluation(training.test)
        for reason in training.failed.values():
            say(f"left out: {reason}")
        say("", f"Run:    {training.run}", f"Model:  {training.model}", f"Report: {training.run / 'report.html'}")
        say("", f"Next: gerund predict {training.run} VIDEO")
    return exit_code(training)


def exit_code(training: Training) -> int:
    return SOME_FAILED if training.failed or any(side.get("failed") for side in training.metrics.values()) else 0


def show_pretraining(pretraining: Pretraining, style: str) -> int:
    best = min(pretraining.history, key=lambda epoch: epoch.val_loss)
    if style == "json":
        values = {"folder": str(pretraining.folder), "clips": pretraining.num_clips, "failed": pretraining.failed}
        print_json(values | {"best_epoch": best.epoch, "val_loss": best.val_loss})
    else:
        say(f"Kept epoch {best.epoch} with validation loss {best.val_loss:.3f} (1 is what guessing the mean costs)")
        for reason in pretraining.failed.values():
            say(f"left out: {reason}")
        say(f"Encoder: {pretraining.folder}", "", f"Next: gerund train DATA --init {pretraining.folder}")
    return SOME_FAILED if pretraining.failed else 0


def show_evaluation(evaluation: Evaluation, style: str) -> int:
    if style == "json":
        print_json(evaluation_values(evaluation))
    elif style == "csv":
        rows = ([*list(row.values())[:4], *row["interval"]] for row in evaluation.per_class)
        print_csv(["label", "clips", "accuracy", "mistaken_for", "low", "high"], rows)
    else:
        print_evaluation(evaluation)
        print_mistakes(evaluation)
        print_runs(evaluation)
    return SOME_FAILED if evaluation.failed else 0


def evaluation_values(evaluation: Evaluation) -> dict[str, Any]:
    values = {
        **evaluation.metrics,
        "per_class": evaluation.per_class,
        "confusion_pairs": evaluation.confusion_pairs,
        "worst_clips": evaluation.worst_clips,
        "failed": evaluation.failed,
    }
    if evaluation.runs:
        values |= {"runs": {run: each.metrics for run, each in evaluation.runs.items()}, "spread": evaluation.spread}
    return values


def print_evaluation(evaluation: Evaluation) -> None:
    rows = [(row["label"], str(row["clips"]), percent(row["accuracy"]), row["mistaken_for"]) for row in evaluation.per_class]
    print_table(("class", "clips", "correct", "most mistaken for"), rows)
    metrics = evaluation.metrics
    say(
        "",
        f"top-1 {percent(metrics['top1'])}   top-5 {percent(metrics['top5'])}   mean class {percent(metrics['mean_class'])}   "
        f"({metrics['num_clips']} clips)",
    )
    interval = metrics["top1_interval"]
    say(
        f"macro F1 {percent(metrics['macro_f1'])}   calibration error {number(metrics['ece'])}   log loss {number(metrics['nll'])}"
    )
    if interval:
        say(f"95 % interval of top-1 (bootstrap by group): {percent(interval[0])} to {percent(interval[1])}")
    for reason in evaluation.failed.values():
        say(f"counted as wrong: {reason}")


def print_mistakes(evaluation: Evaluation) -> None:
    """The most confused pairs of classes and the worst clips, a few of each."""
    pairs = evaluation.confusion_pairs[:FEW]
    if pairs:
        say("", "most confused:")
    for pair in pairs:
        say(f"  {pair['label']} taken for {pair['answer']}: {pair['clips']} of {pair['of']} clips")
    worst = [clip for clip in evaluation.worst_clips if clip["answer"] != clip["label"]][:FEW]
    if worst:
        say("", "most certain mistakes:")
    for clip in worst:
        say(f"  {clip['path']}: {clip['label']} {percent(clip['label_score'])}, {clip['answer']} {percent(clip['answer_score'])}")


def print_runs(evaluation: Evaluation) -> None:
    """One line per run, then mean and spread of the columns."""
    if not evaluation.runs:
        return
    spread = evaluation.spread
    shown = {"top1": "top-1", "mean_class": "mean class", "macro_f1": "macro F1", "ece": "calibration error", "nll": "log loss"}
    columns = {name: title for name, title in shown.items() if name in spread}
    measured = {run: each.metrics for run, each in evaluation.runs.items()}
    rows = [[run, str(metrics["num_clips"]), *(number(metrics[name]) for name in columns)] for run, metrics in measured.items()]
    rows += [[what, "", *(number(spread[name][what]) for name in columns)] for what in ("mean", "std", "min", "max")]
    say("")
    print_table(("run", "clips", *columns.values()), rows, left=(0,))


def show_comparison(comparison: Comparison, style: str) -> int:
    board, training = comparison.leaderboard, comparison.training
    failed = comparison.failed
    if style == "json":
        print_json({**board.values, "left_out": failed, "run": str(training.run) if training else None})
    elif style == "csv":
        print_csv(list(board.standings[0].values), (each.values.values() for each in board.standings))
    else:
        rows = [
            (
                each.head,
                percent(each.top1),
                f"{100 * each.low:.1f} .. {100 * each.high:.1f} %",
                each.backbone,
                f"{each.parameters:,}",
                f"{each.train_seconds:.1f}",
                f"{each.ms_per_clip:.2f}",
            )
            for each in board.standings
        ]
        print_table(("head", "top-1", "95 % interval", "backbone", "parameters", "train s", "ms/clip"), rows)
        say("", f"{board.num_clips} clips, {board.num_groups} groups, {board.folds} folds")
        for name, reason in board.failed.items():
            say(f"not compared: {name}: {reason}")
        for reason in failed.values():
            say(f"left out: {reason}")
        say(f"Winner: {board.winner.name}. {board.reason}.")
        if training is not None:
            say("", f"Run:   {training.run}", f"Model: {training.model}", "", f"Next: gerund predict {training.run} VIDEO")
    return SOME_FAILED if failed or board.failed else 0


def show_benchmark(benchmark: Benchmark, style: str) -> int:
    if style == "json":
        print_json(benchmark.values)
        return SOME_FAILED if benchmark.failed or benchmark.left_out else 0
    header = ("recipe", *(f"split {split}" for split in benchmark.splits), "mean", "random clips (leaks)")
    rows = [(each.recipe, *(percent(value) for value in (*each.by_split, each.mean, each.leaking))) for each in benchmark.rows]
    if style == "csv":
        print_csv(list(header), ((each.recipe, *each.by_split, each.mean, each.leaking) for each in benchmark.rows))
    else:
        print_table(header, rows)
        say("", f"Top-1 of the test clips; mean over {benchmark.seeds} seed{'s' * (benchmark.seeds != 1)}.")
        say(f"WARNING: {benchmark.warning}")
        for recipe, reason in benchmark.failed.items():
            say(f"not run: {recipe}: {reason}")
        for reason in benchmark.left_out.values():
            say(f"left out: {reason}")
    return SOME_FAILED if benchmark.failed or benchmark.left_out else 0


def show_timeline_evaluation(evaluation: TimelineEvaluation, style: str) -> int:
    metrics = evaluation.metrics
    if style == "json":
        print_json({**metrics, "failed": evaluation.failed})
    elif style == "csv":
        print_csv(["metric", "value"], metrics.items())
    else:
        seconds = metrics.pop("boundary_error_seconds")
        counts = f"({metrics.pop('num_segments')} segments in {metrics.pop('num_videos')} videos)"
        names = {"frame_accuracy": "frame accuracy", "edit": "edit score", "map": "mAP at IoU 0.3 to 0.7"}
        rows = [
            (names.get(name, name.replace("map", "mAP").replace("f1", "F1")), percent(value)) for name, value in metrics.items()
        ]
        print_table(("", ""), rows)
        say("", f"median boundary error {seconds:.2f} s   {counts}")
        for reason in evaluation.failed.values():
            say(f"counted as missed: {reason}")
    return SOME_FAILED if evaluation.failed else 0


def show_predictions(predictions: Iterable[Prediction], style: str) -> int:
    any_failed = False
    if style == "csv":
        print_csv(["path", "start", "end", "rank", "label", "score", "error", "known", "unknown"], ())
    for prediction in predictions:
        any_failed |= prediction.error is not None or bool(prediction.unwritten)
        if style == "json":
            say(json_text(prediction.values()))
        elif style == "csv":
            span = [prediction.path, prediction.start, prediction.end]
            ranked = enumerate(prediction.scores, start=1)
            trust = ["" if prediction.known is None else f"{prediction.known:.6f}", prediction.unknown]
            rows = [[*span, rank, label, f"{score:.6f}", "", *trust] for rank, (label, score) in ranked] or [
                [*span, "", "", "", prediction.error, *trust]
            ]
            print_csv(None, rows)
        elif prediction.error:
            say(f"gerund: {prediction.error}", file=sys.stderr)
        else:
            print_prediction(prediction)
        print_unwritten(prediction)
    return SOME_FAILED if any_failed else 0


def print_unwritten(result: Prediction | Timeline) -> None:
    for problem in result.unwritten:
        say(f"gerund: {problem}", file=sys.stderr)


def print_prediction(prediction: Prediction) -> None:
    span = f"  [{prediction.start:g} .. {prediction.end:g} s]" if prediction.end is not None else ""
    say(f"{prediction.path}{span}{f'  unknown; the best guess is {prediction.best_guess}' if prediction.unknown else ''}")
    width = max(len(label) for label, _ in prediction.scores)
    for label, score in prediction.scores:
        say(f"  {100 * score:6.2f} %  {label:<{width}}  {'█' * round(BAR * score)}".rstrip())


def show_watch(watch: Watch, style: str) -> int:
    """Print events as they come; Ctrl-C ends what is going on, prints that too, and ends the command."""
    if style == "csv":
        print_csv(["kind", "label", "score", "start", "end", "seconds", "time", "latency"], ())
    line = live_line(watch) if style == "text" and sys.stdout.isatty() and not progress.quiet else contextlib.nullcontext()
    try:
        with line:
            try:
                for event in watch:
                    print_event(event, style)
            except KeyboardInterrupt:
                for event in watch.close():
                    print_event(event, style)
                raise
    finally:
        if watch.latencies:
            progress.note(pace(watch))
    if not watch.latencies:
        progress.note("The stream ended before there was enough of it to look at.")
    return 0


def print_event(event: Event, style: str) -> None:
    values = dataclasses.asdict(event) | {"time": event.time.isoformat(timespec="milliseconds")}
    if style == "json":
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
        say(json_text(rounded))
    elif style == "csv":
        print_csv(None, [values.values()])
    else:
        span = f"{event.start:8.2f} s" + (" .. " if event.end is None else f" .. {event.end:.2f} s")
        delay = "" if event.latency is None else f"latency {1e3 * event.latency:.0f} ms"
        say(f"{event.kind:7}  {event.label:<20} {100 * event.score:5.1f} %  {span:24}{delay}".rstrip())


def pace(watch: Watch) -> str:
    latencies = sorted(watch.latencies)
    half, most = (1e3 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.95))
    return (
        f"{watch.looked} looks, {watch.dropped} frames dropped; from a frame's arrival to its label: "
        f"median {half:.0f} ms, 95 % within {most:.0f} ms"
    )


def live_line(watch: Watch) -> Live:
    """A line at the bottom of the terminal that always says what is seen now."""
    from rich.live import Live
    from rich.text import Text

    def line() -> Text:
        look = watch.now
        if look is None:
            return Text("waiting for a picture ...", "dim")
        best = int(look.scores.argmax())
        bar = "█" * round(BAR * float(look.scores[best]))
        return Text.assemble(
            f"{look.seconds:8.1f} s  ",
            (watch.playing or "no action", "bold" if watch.playing else "dim"),
            f"   now: {watch.labels[best]} {100 * look.scores[best]:.0f} % {bar:{BAR}}",
            (f"  latency {1e3 * look.latency:.0f} ms", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )

    return Live(get_renderable=line, refresh_per_second=4, transient=True)


def show_timelines(timelines: Iterable[Timeline], style: str) -> int:
    any_failed = False
    if style == "csv":
        print_csv(["path", "start", "end", "label", "score", "error"], ())
    for timeline in timelines:
        any_failed |= timeline.error is not None or bool(timeline.unwritten)
        if style == "json":
            say(json_text(timeline_values(timeline)))
        elif style == "csv":
            rows: list[list[Any]] = [
                [timeline.path, f"{each.start:.3f}", f"{each.end:.3f}", each.label, f"{each.score:.6f}", ""]
                for each in timeline.segments
            ]
            print_csv(None, rows if timeline.error is None else [[timeline.path, "", "", "", "", timeline.error]])
        elif timeline.error:
            say(f"gerund: {timeline.error}", file=sys.stderr)
        else:
            print_timeline(timeline)
        print_unwritten(timeline)
    return SOME_FAILED if any_failed else 0


def show_rendering(timeline: Timeline, style: str) -> int:
    return show_timelines([timeline], style)


def timeline_values(timeline: Timeline) -> dict[str, Any]:
    segments = [dataclasses.asdict(each) for each in timeline.segments]
    return {"path": str(timeline.path), "duration": timeline.duration, "segments": segments, "error": timeline.error}


def print_timeline(timeline: Timeline) -> None:
    say(f"{timeline.path}  ({timeline.duration:.1f} s, {len(timeline.segments)} segments)")
    for each in timeline.segments:
        say(f"  {clock_time(each.start)} .. {clock_time(each.end)}  {100 * each.score:6.2f} %  {each.label}")


def clock_time(seconds: float) -> str:
    """0:01:02.3"""
    tenths = round(10 * seconds)
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def show_clips(clips: list[Clip], style: str) -> int:
    names = ["path", "label", "start", "end", "split", "group"]
    rows = [[str(clip.path), clip.label, clip.start, clip.end, clip.split, clip.group] for clip in clips]
    if style == "json":
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    elif style == "csv":
        from gerund.data.manifest import address

        print_csv(names, ([address(clip.path), *row[1:]] for clip, row in zip(clips, rows, strict=True)))
    else:
        from gerund.data.manifest import SPLITS, labels_of

        sides = [*SPLITS, *({None} & {clip.split for clip in clips})]
        counts = [
            (label or "(no label)", *(str(sum(c.label == label and c.split == side for c in clips)) for side in sides))
            for label in [*labels_of(clips), *({None} & {clip.label for clip in clips})]
        ]
        totals = ("all", *(str(sum(clip.split == side for clip in clips)) for side in sides))
        print_table(("class", *(side or "no split" for side in sides)), [*counts, totals])
    return 0


def show_splitting(splitting: Splitting, style: str) -> int:
    if style == "json":
        shares = [dataclasses.asdict(share) for share in splitting.shares]
        print_json({"files": [str(file) for file in splitting.files], "shares": shares})
        return 0
    header = ("split", "asked", "got", "furthest off", "got", "clips", "groups")
    rows = [
        (
            f"fold {share.fold}" if share.fold else share.split,
            percent(share.asked),
            percent(share.got),
            share.worst_class,
            percent(share.worst_got),
            str(share.clips),
            str(share.groups),
        )
        for share in splitting.shares
    ]
    if style == "csv":
        print_csv(list(header), rows)
        return 0
    print_table(header, rows)
    for file in splitting.files:
        say(f"Written: {file}")
    return 0


def show_frames(folders: FrameFolders, style: str) -> int:
    if style == "json":
        print_json({**dataclasses.asdict(folders), "manifest": str(folders.manifest)})
    else:
        say(f"{folders.written} folders written, {folders.kept} were there already, {len(folders.failed)} failed")
        say(f"Next: gerund train {folders.manifest}")
    return SOME_FAILED if folders.failed else 0


def show_download(download: Download, style: str) -> int:
    if style == "json":
        print_json({"data": download.data, "folders": [str(folder) for folder in download.folders]})
    else:
        say(f"Next: gerund train {download.data}")
    return 0


def show_extraction(extraction: Extraction, style: str) -> int:
    failures = extraction.left_out
    if style == "json":
        print_json({"videos": len(extraction.features), "failed": failures})
    else:
        rows = sum(len(features) for features in extraction.features.values())
        say(f"{len(extraction.features)} videos, {rows} feature rows in the cache, {len(extraction.failed)} failed")
        if extraction.spans:
            say(f"{len(extraction.spans)} clips begin after the end of their video")
    return SOME_FAILED if failures else 0


def show_export(done: Export, style: str) -> int:
    values = done.values
    if style == "json":
        print_json(values)
        return 0
    say(f"{done.folder}: {done.format}, {done.precision}, {done.size / 1e6:.1f} MB")
    say(
        f"Compared with the model in f32 on {values['clips']} clips: largest difference of a probability "
        f"{values['max_difference']:.1e}, same label for {percent(values['same_label'])}"
    )
    if values["top1_model"] is not None:
        drop = values["top1_model"] - values["top1_exported"]
        say(f"Top-1: model {percent(values['top1_model'])}, exported {percent(values['top1_exported'])}, drop {percent(drop)}")
    if done.format != "torch":
        say("", f"Next: python -m gerund.recognition.runtime {done.folder} VIDEO")
    return 0


def show_packed(packed: Packed, style: str) -> int:
    if style == "json":
        print_json({**dataclasses.asdict(packed), "out": str(packed.out)})
    else:
        say(f"{packed.videos} videos, {packed.shards} shards, {packed.bytes / 1e6:.1f} MB, {len(packed.failed)} left out")
        say(f"Next: gerund train DATA --packed {packed.out}")
    return SOME_FAILED if packed.failed else 0


def show_diagnosis(diagnosis: Diagnosis, style: str) -> int:
    if style == "json":
        print_json(diagnosis.values())
    elif style == "csv":
        rows = ([each.level, each.area, each.kind, each.message] for each in diagnosis.findings)
        print_csv(["level", "area", "kind", "message"], rows)
    else:
        print_diagnosis(diagnosis)
    return 0 if diagnosis.clean else SOME_FAILED


def print_diagnosis(diagnosis: Diagnosis) -> None:
    if diagnosis.table:
        print_table(diagnosis.table[0], [[str(cell) for cell in row.values()] for row in diagnosis.table])
        say("")
    for name, value in diagnosis.statistics.items():
        shown = ", ".join(f"{key}: {each}" for key, each in value.items()) if isinstance(value, dict) else value
        say(f"{name.replace('_', ' ')}: {shown}")
    say("")
    for line in diagnosis.notes:
        say(line)
    if diagnosis.leakage is not None:
        say(f"Measured leak: {diagnosis.leakage.sentence}")
    for finding in diagnosis.findings:
        say(f"{finding.area} {finding.kind}{' (usable)' * (finding.level == 'remark')}: {finding.message}")
    say(f"Findings: {len(diagnosis.problems)}" if diagnosis.problems else "No findings.")


def show_values(values: dict[str, Any], style: str) -> int:
    if style == "json":
        print_json(values)
    else:
        flat = {key: value for key, value in values.items() if not isinstance(value, dict)}
        flat |= {
            f"{key} {name}": each for key, value in values.items() if isinstance(value, dict) for name, each in value.items()
        }
        print_table(("", ""), [(key.replace("_", " "), str(value)) for key, value in flat.items()])
    return 0


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_table(header: Iterable[str], rows: Iterable[Iterable[str]], *, left: Sequence[int] = (0, 3)) -> None:
    """Aligned columns; words (the columns in `left`) to the left, numbers to the right."""
    lines = [[visible(each) for each in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.ljust(width) if column in left or not any(widths[1:]) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if any(line):
            say("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    say(*json_text(value, indent=2).split("\n"))


def print_csv(header: list[str] | None, rows: Iterable[Iterable[Any]]) -> None:
    writer = csv.writer(sys.stdout)
    if header:
        writer.writerow(header)
    writer.writerows(["" if value is None else cell(value) for value in row] for row in rows)
    sys.stdout.flush()


SHOW: dict[str, Callable[[Any, str], int]] = {
    "train": show_trainings,
    "pretrain": show_pretraining,
    "evaluate": show_evaluation,
    "compare": show_comparison,
    "benchmark": show_benchmark,
    "predict": show_predictions,
    "watch": show_watch,
    "timeline": show_timelines,
    "render": show_rendering,
    "evaluate-timeline": show_timeline_evaluation,
    "index": show_clips,
    "split": show_splitting,
    "export": show_export,
    "extract": show_extraction,
    "pack": show_packed,
    "frames": show_frames,
    "download": show_download,
    "doctor": show_diagnosis,
}
