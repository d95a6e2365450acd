"""Labels saved by asking: a simulated annotator, who knows the truth, works in a studio by its review queue, or in other orders.

    python benchmarks/asking.py [films] [falls] [toy] [--runs 5]

A decision is a border set, a label given, a suggestion accepted, changed or rejected. Told is how many decisions it took until the model's timelines
of all films have a frame accuracy of 0.9, or of 95 % of what all labels give where that is less. Orders:

- queue: the studio's questions, in its order (1 decision, and 1 for each border of the suggestion that is more than half a second off);
- shuffled: the same questions in random order, so that only the order differs;
- random: spans at random places, by hand (2 borders and a label);
- forward: spans from the start of each video, by hand (1 border, since each begins where the last one ended, and a label).

films: the 400 real clips in a row, 20 films, a group in one film only; falls: 30 videos labelled by people; toy: six films of synthetic actions.
Features of the films of real clips are those of the clips, one after the other. Needs the real clips' features once (minutes).
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from clips import DATA

from gerund import video
from gerund.backbones import load_backbone
from gerund.core.types import Features
from gerund.data.datasets import load_dataset, toy
from gerund.data.manifest import group_of
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.labelling.bouts import Footage, added
from gerund.labelling.edits import add_bout, add_label, reject
from gerund.labelling.learner import Learner
from gerund.labelling.project import Project
from gerund.labelling.review import Question, questions

TOLERANCE = 0.5
TARGET, SHARE_OF_ALL = 0.9, 0.95
AT_ONCE = 4
"""Questions answered between two looks at how good it is."""
MOST_ROUNDS = 60
ORDERS = ("queue", "shuffled", "random", "forward")
FILMS, FPS = 20, 8.0
Span = tuple[str, float, float]


@dataclass
class Film:
    """Features of a film, and its true spans: label, start, end; `grid` (N,) has the true label of each row."""

    name: str
    features: Features
    spans: Sequence[Span]

    @property
    def grid(self) -> np.ndarray:
        found = np.full(len(self.features), "", dtype=object)
        for label, start, end in self.spans:
            found[(self.features.pts >= start - 1e-6) & (self.features.pts < end - 1e-6)] = label
        return found

    def span_at(self, seconds: float) -> Span | None:
        return next((span for span in self.spans if span[1] <= seconds < span[2]), None)


def real_films(extractor: Extractor, seed: int) -> list[Film]:
    clips = [
        *load_dataset(f"ucf101:{DATA / 'ucf101'}", allow_leak=True),
        *load_dataset(f"ucf101:{DATA / 'ucf101_more'}", allow_leak=True),
    ]
    found = extractor.extract(clip.path for clip in clips).features
    rng = np.random.default_rng(seed)
    groups = sorted({group_of(clip) for clip in clips})
    film_of = dict(zip(rng.permutation(groups).tolist(), [place % FILMS for place in range(len(groups))], strict=True))
    films = []
    for number in range(FILMS):
        mine = [clip for clip in clips if film_of[group_of(clip)] == number]
        rows, spans = list[np.ndarray](), list[Span]()
        for place in rng.permutation(len(mine)):
            features, at = found[mine[place].path], sum(map(len, rows)) / FPS
            rows.append(np.asarray(features.data[0 : len(features)]))
            spans.append((str(mine[place].label), at, at + len(features) / FPS))
        data = np.concatenate(rows)
        films.append(Film(f"film{number}", Features(data, np.arange(len(data)) / FPS, len(data) / FPS), spans))
    return films


def fall_films(extractor: Extractor, _: int) -> list[Film]:
    clips = load_dataset(DATA / "falls" / "spans.csv", allow_leak=True)
    found = extractor.extract(clip.path for clip in clips).features
    return [
        Film(
            path.stem, features, [(str(clip.label), clip.start, clip.end or features.end) for clip in clips if clip.path == path]
        )
        for path, features in found.items()
    ]


def toy_films(extractor: Extractor, _: int) -> list[Film]:
    folder, films, truth = Path(tempfile.gettempdir()) / "gerund-bench-asking", [], list[list[Span]]()
    folder.mkdir(exist_ok=True)
    for number in range(6):
        rng, spans, pictures = np.random.default_rng([1, number]), list[Span](), []
        for take in range(30):
            label = str(rng.choice([name for name in toy.ACTIONS if not spans or name != spans[-1][0]]))
            start, seconds = spans[-1][2] if spans else 0.0, round(rng.uniform(2, 4) * 25) / 25
            spans.append((label, start, start + seconds))
            pictures.append((label, number, take, seconds))
        path = folder / f"{number}.mp4"
        if not path.exists():
            drawn = (toy.perform(label, performer=who, take=take, seconds=seconds) for label, who, take, seconds in pictures)
            video.write(path, (frame for bout in drawn for frame in bout), fps=25)
        truth.append(spans)
        films.append(path)
    found = extractor.extract(films).features
    return [Film(path.stem, found[path], spans) for path, spans in zip(films, truth, strict=True)]


class Annotator:
    """Somebody who knows the truth of films, in a project of their own."""

    def __init__(self, films: Sequence[Film], folder: Path, rng: np.random.Generator) -> None:
        self.films = {film.name: film for film in films}
        self.rng = rng
        self.project = Project(folder)
        self.project.remember(
            [
                added(Footage(name=each.name, digest=each.name, path=f"{each.name}.mp4", duration=each.features.end))
                for each in films
            ]
        )
        library = SimpleNamespace(
            features={each.name: each.features for each in films},
            opened="",
            extractor=SimpleNamespace(spec=SimpleNamespace(fps=FPS)),
        )
        self.learner = Learner(self.project, library, lambda _: None)
        self.decisions = 0
        self.seconds = 0.0

    def say(self, film: str, label: str, start: float, end: float) -> None:
        if label not in self.project.state.labels:
            self.project.perform(add_label(label, name=label))
        self.project.perform(add_bout(film, label, start, end, by="annotator"))
        self.seconds += end - start

    def by_hand(self, film: str, span: Span, borders: int) -> None:
        self.say(film, *span)
        self.decisions += borders + 1

    def answer(self, asked: Question) -> None:
        """What is in the middle of the suggestion, as far as it is one; borders that are off are moved."""
        span = self.films[asked.video].span_at((asked.start + asked.end) / 2)
        if span is None:  # a film's last moment
            self.decisions += 1
            return
        if asked.why == "doubt" and self.project.state.bouts[asked.bout].label == span[0]:
            self.project.perform(reject(asked.video, asked.label, asked.start, asked.end, by="annotator"))
            self.decisions += 1
            return
        start, end = max(asked.start, span[1]), min(asked.end, span[2])
        moved = (start - asked.start > TOLERANCE) + (asked.end - end > TOLERANCE)
        start, end = (
            (asked.start if start - asked.start <= TOLERANCE else start),
            (asked.end if asked.end - end <= TOLERANCE else end),
        )
        self.say(asked.video, span[0], start, end)
        self.decisions += 1 + moved

    def unlabelled(self) -> list[tuple[str, Span]]:
        there = {(bout.video, round(bout.start, 2)) for bout in self.project.state.bouts.values()}
        return [
            (film.name, span)
            for film in self.films.values()
            for span in film.spans
            if (film.name, round(span[1], 2)) not in there
        ]

    def begin(self) -> None:
        """Two bouts of two labels, by hand, at random places: without them nobody can ask."""
        spans = self.unlabelled()
        first = spans[self.rng.integers(len(spans))]
        others = [each for each in spans if each[1][0] != first[1][0]]
        for film, span in (first, others[self.rng.integers(len(others))]):
            self.by_hand(film, span, borders=2)

    def work(self, order: str, forward: Iterator[tuple[str, Span]]) -> bool:
        """AT_ONCE more bouts; False when nothing is left."""
        if order in ("queue", "shuffled"):
            asked = questions(self.learner, self.project.state, AT_ONCE if order == "queue" else 10_000)
            if order == "shuffled":
                asked = [asked[place] for place in self.rng.permutation(len(asked))[:AT_ONCE]]
            for each in asked:
                self.answer(each)
            return bool(asked)
        if order == "random":
            left = self.unlabelled()
            chosen = [left[place] for place in self.rng.permutation(len(left))[:AT_ONCE]]
        else:
            chosen = [each for _, each in zip(range(AT_ONCE), forward, strict=False)]
        for film, span in chosen:
            self.by_hand(film, span, borders=2 if order == "random" else 1)
        return bool(chosen)

    def accuracy(self) -> float:
        """Share of rows that the model's timelines have right, over all films."""
        self.learner.learn()
        right = total = 0
        for name, film in self.films.items():
            found = np.full(len(film.features), "", dtype=object)
            suggestion = self.learner.suggestions.get(name)
            for each in suggestion.segments if suggestion else ():
                found[(film.features.pts >= each.start - 1e-6) & (film.features.pts < each.end - 1e-6)] = each.label
            right, total = right + int((found == film.grid).sum()), total + len(found)
        return right / total


def needed(films: Sequence[Film], order: str, seed: int, target: float) -> tuple[float, float, list[tuple[int, float]]]:
    """Decisions and labelled seconds until the target, and the way there; infinity where it is not reached."""
    with tempfile.TemporaryDirectory() as folder:
        someone = Annotator(films, Path(folder), np.random.default_rng(seed))
        someone.begin()
        forward = iter([(film.name, span) for film in films for span in film.spans])
        way: list[tuple[int, float]] = []
        for _ in range(MOST_ROUNDS):
            way.append((someone.decisions, someone.accuracy()))
            if way[-1][1] >= target or not someone.work(order, forward):
                break
        someone.project.close()
        reached = way[-1][1] >= target
        return (someone.decisions if reached else float("inf")), someone.seconds, way


def with_all(films: Sequence[Film]) -> float:
    """Frame accuracy of the model on the films when all of them are labelled."""
    with tempfile.TemporaryDirectory() as folder:
        someone = Annotator(films, Path(folder), np.random.default_rng(0))
        for film, span in someone.unlabelled():
            someone.by_hand(film, span, borders=2)
        reached = someone.accuracy()
        someone.project.close()
        return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["films", "falls", "toy"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--orders", default=",".join(ORDERS))
    options = parser.parse_args()
    extractor = Extractor(load_backbone("lite"), fps=FPS, cache=FeatureCache())
    for name in options.sets:
        maker = {"films": real_films, "falls": fall_films, "toy": toy_films}[name]
        costs: dict[str, list[float]] = {order: [] for order in options.orders.split(",")}
        for run in range(options.first, options.first + options.runs):
            films = maker(extractor, run)
            target = min(TARGET, SHARE_OF_ALL * with_all(films))
            for order in costs:
                decisions, seconds, way = needed(films, order, run, target)
                costs[order].append(decisions)
                shown = " ".join(f"{cost}:{reached:.2f}" for cost, reached in way[:: max(1, len(way) // 10)])
                print(
                    f"{name} run {run} {order}: {decisions} decisions, {seconds:.0f} s labelled, target {target:.3f}   {shown}",
                    flush=True,
                )
        print(f"{name}: median decisions of {options.runs} runs")
        for order, found in costs.items():
            ratios = [other / mine for mine, other in zip(costs.get("queue", found), found, strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"  {order:9s} {np.median(found):6.0f}   times the queue's: {np.median(ratios):.2f} ({spread} over the runs)")


if __name__ == "__main__":
    main()
