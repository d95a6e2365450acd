"""An explanation points at what the answer rests on, in time and in the frame, and the picture shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.cli import app as cli
from gerund.core.errors import UsageError, VideoError
from gerund.core.types import Clip, Explanation, Features, Prediction
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling, clip_rows, picked_rows, step_edges
from gerund.heads import Head, build_head
from gerund.recognition import explain as explaining
from gerund.recognition import explain_picture as heatmaps
from gerund.recognition.recognizer import Recognizer
from support.reading import read_picture

SIDE, STEPS = 28, 4
WATCHED = (1, 5)
"""The place, row and column of the grid, that the head below looks at."""


class Watchman(Head):
    """Says `there` when the watched pixel is brighter than the rest of the frame, and trusts the third step most."""

    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        row, column = ((2 * place + 1) * SIDE // (2 * explaining.ACROSS) for place in WATCHED)
        seen = (x[:, :, row * SIDE + column] * self.step_weights(x, valid)).sum(1)
        return np.stack([seen, np.zeros_like(seen)], axis=1)

    def step_weights(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        weights = valid * np.array([1, 1, 7, 1], np.float32)
        return weights / weights.sum(1, keepdims=True)

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        assert not state


def watching(tmp_path: Path, take: str = "mean", head: Head | None = None) -> Recognizer:
    return Recognizer(
        labels=["there", "not there"],
        extractor=Extractor(load_backbone(f"pixels:{SIDE}"), fps=8, cache=FeatureCache(tmp_path / "cache")),
        sampling=Sampling(num_frames=STEPS, take=take, motion=False),  # type: ignore[arg-type]
        head=head or Watchman(),
        head_name="mean",
        head_options={},
    )


@pytest.fixture
def lit(tmp_path: Path) -> Path:
    """Two seconds of noise with a light at the watched place; twice as wide as high."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(16):
        picture = np.repeat(rng.integers(100, 150, (56, 112, 1), np.uint8), 3, axis=2)
        picture[8:16, 80:96] = 255
        pictures.append(picture)
    video.write(tmp_path / "a light é.mp4", pictures, fps=8)
    return tmp_path / "a light é.mp4"


def centre(heat: np.ndarray) -> tuple[float, ...]:
    """Row and column around which what is hot lies."""
    hot = heat > 0.5 * heat.max()
    return tuple(float(axis[hot].mean()) for axis in np.indices(heat.shape))


@pytest.mark.parametrize("take", ["mean", "middle", "first"])
def test_the_hottest_place_is_the_one_the_answer_rests_on(lit, tmp_path, take):
    found = gerund.explain(watching(tmp_path, take), lit)
    assert found.prediction.label == "there"
    assert found.heat.shape == (explaining.ACROSS, explaining.ACROSS)
    assert centre(found.heat) == pytest.approx(WATCHED, abs=0.5)  # a patch is two places wide
    far = np.abs(np.indices(found.heat.shape) - np.array(WATCHED)[:, None, None]).max(0) > 1
    assert found.heat[far].max() < 0.2 * found.heat.max()


def test_a_place_costs_what_covering_it_in_the_video_itself_costs(lit, tmp_path):
    recognizer = watching(tmp_path)
    found = gerund.explain(recognizer, lit)
    row, column = ((round((place - 0.5) * SIDE / 7), round((place + 1.5) * SIDE / 7)) for place in WATCHED)
    frames = [picture for block in video.read(lit, fps=8, resize=recognizer.backbone.resize) for picture in block.data]
    data = []
    for picture in frames:
        picture[row[0] : row[1], column[0] : column[1]] = 128
        grey = (picture / 255) @ np.array([0.299, 0.587, 0.114])
        data.append((grey - grey.mean()).ravel() / np.sqrt(grey.var() + 1e-4))
    tokens = np.stack(data).reshape(STEPS, -1, SIDE * SIDE).mean(1)
    covered = recognizer.probabilities(tokens[None].astype(np.float32), np.ones((1, STEPS), bool))[0, 0]
    assert found.heat[WATCHED] == pytest.approx(found.prediction.scores[0][1] - covered, abs=2e-3)


def test_steps_have_their_weights_their_times_and_what_hiding_them_costs(lit, tmp_path):
    recognizer = watching(tmp_path)
    found = gerund.explain(recognizer, lit)
    assert found.weights == pytest.approx([0.1, 0.1, 0.7, 0.1])
    assert found.seconds == pytest.approx([0.125, 0.625, 1.125, 1.625])
    assert found.frames.shape[0] == STEPS
    assert found.frames.shape[2] == 2 * found.frames.shape[1]
    assert found.drops.shape == (STEPS,)
    assert np.abs(found.drops).max() < 0.05  # every step shows the light


def test_a_step_that_alone_shows_the_light_is_missed_most(tmp_path):
    pictures = [np.full((56, 56, 3), 100, np.uint8) for _ in range(16)]
    for picture in pictures[8:12]:
        picture[8:16, 40:48] = 255
    for index, picture in enumerate(pictures):
        picture[:, index] = 140  # something to standardise
    video.write(tmp_path / "late.mp4", pictures, fps=8)
    found = gerund.explain(watching(tmp_path), tmp_path / "late.mp4")
    assert found.drops.argmax() == 2
    assert found.drops[2] > 0.1


def test_a_clip_is_searched_within_its_own_span(lit, tmp_path):
    found = gerund.explain(watching(tmp_path), Clip(path=lit, start=0.5, end=1.0))
    assert found.seconds == pytest.approx([0.5, 0.625, 0.75, 0.875])
    assert centre(found.heat) == pytest.approx(WATCHED, abs=0.5)


def test_a_clip_shorter_than_the_steps_has_one_step_for_each_frame(tmp_path):
    video.write(tmp_path / "short.mp4", [np.full((32, 32, 3), level, np.uint8) for level in (30, 90)], fps=8)
    found = gerund.explain(watching(tmp_path), tmp_path / "short.mp4", out=tmp_path / "short.png")
    assert len(found.frames) == len(found.weights) == len(found.seconds) == 2
    assert read_picture(tmp_path / "short.png").width == heatmaps.SHEET_WIDTH


def test_a_single_frame_has_one_step(tmp_path):
    video.write(tmp_path / "one.mp4", [np.full((32, 32, 3), 30, np.uint8)], fps=8)
    found = gerund.explain(watching(tmp_path), tmp_path / "one.mp4", out=tmp_path / "one.png")
    assert found.weights.tolist() == [1.0]
    assert found.drops.tolist() == [0.0]


def test_step_edges_are_the_rows_that_tokens_are_made_of():
    features = Features(np.zeros((23, 3), np.float16), np.arange(23) / 8)
    for sampling, expected in (
        (Sampling(num_frames=4), [4, 8, 12, 16, 20]),
        (Sampling(num_frames=4, take="first"), [4, 5, 6, 7, 8]),
    ):
        edges = step_edges(features, Clip(path=Path("x"), start=0.5, end=2.5), sampling)
        assert edges.tolist() == expected
    assert picked_rows(edges, None).tolist() == [4, 5, 6, 7]
    assert clip_rows(features, Clip(path=Path("x"), start=0.5, end=2.5)) == slice(4, 20)


def test_patches_cover_two_cells_and_are_cut_at_the_borders():
    frame = np.zeros((28, 56, 3), np.uint8)
    copies = explaining.covered(frame[None])
    assert copies.shape == (49, 28, 56, 3)
    grey = copies[..., 0] == explaining.GREY
    assert grey[24].sum() == 8 * 16  # the middle
    assert grey[0].sum() == 6 * 12  # the corner
    assert grey.any(0).all()
    assert not frame.any()


def explanation(heat: np.ndarray, weights: list[float], labels: tuple[str, ...] = ("a", "b", "c")) -> Explanation:
    count = len(weights)
    scores = [(label, share) for label, share in zip(labels, (0.8, 0.15, 0.05), strict=False)]
    return Explanation(
        prediction=Prediction(path=Path("clips/a.mp4"), scores=scores),
        seconds=np.arange(count) / 2,
        frames=np.full((count, 60, 80, 3), 120, np.uint8),
        weights=np.array(weights),
        drops=np.zeros(count),
        heat=heat,
    )


def reddish(picture: Image.Image) -> np.ndarray:
    data = np.asarray(picture.convert("RGB"), int)
    return (data[..., 0] > 150) & (data[..., 1] < 110) & (data[..., 2] < 110)


def test_the_picture_is_red_where_it_is_hot(tmp_path):
    heat = np.zeros((7, 7))
    heat[0, 6] = 0.3
    frame = heatmaps.heated(Image.new("RGB", (140, 70), (120, 120, 120)), heat, 0.3)
    rows, columns = np.nonzero(reddish(frame))
    assert len(rows)
    assert rows.max() < 20
    assert columns.min() > 110


def test_falls_of_no_account_get_no_colour(tmp_path):
    heatmaps.draw_explanation(explanation(np.full((7, 7), 1e-4), [0.25] * 4), tmp_path / "calm.png")
    heatmaps.draw_explanation(explanation(np.full((7, 7), 0.2), [0.25] * 4), tmp_path / "hot.png")
    assert not reddish(read_picture(tmp_path / "calm.png")).any()
    assert reddish(read_picture(tmp_path / "hot.png")).any()


@pytest.mark.parametrize("count", [1, 3, 8, 40])
@pytest.mark.parametrize("suffix", heatmaps.PICTURE_FORMATS)
def test_any_number_of_steps_makes_a_picture(tmp_path, count, suffix):
    heatmaps.draw_explanation(explanation(np.full((7, 7), 0.1), [1 / count] * count, ("é" * 90, "b")), tmp_path / f"x{suffix}")
    assert read_picture(tmp_path / f"x{suffix}").size[0] == heatmaps.SHEET_WIDTH


def test_heat_is_shown_on_the_weightiest_steps_or_spread_over_equal_ones():
    assert heatmaps.weightiest(np.array([0.1, 0.3, 0.05, 0.2, 0.25, 0.1])).tolist() == [0, 1, 3, 4]
    assert heatmaps.weightiest(np.full(16, 1 / 16)).tolist() == [2, 6, 9, 13]
    assert heatmaps.weightiest(np.full(2, 0.5)).tolist() == [0, 1]
    assert heatmaps.weightiest(np.ones(1)).tolist() == [0]


def test_what_cannot_be_explained_is_one_clear_line(lit, tmp_path, monkeypatch):
    recognizer = watching(tmp_path)
    (tmp_path / "notes.mp4").write_text("these are notes")
    with pytest.raises(VideoError, match=r"notes\.mp4: not readable as video"):
        gerund.explain(recognizer, tmp_path / "notes.mp4")
    with pytest.raises(UsageError, match=r"--explain .*why\.txt: unknown format '\.txt'; choose one of \.png"):
        gerund.explain(recognizer, lit, out=tmp_path / "why.txt")
    with pytest.raises(VideoError, match=r"why\.png: cannot be written \(No such file"):
        gerund.explain(recognizer, lit, out=tmp_path / "missing" / "why.png")
    monkeypatch.setattr(explaining, "MOST_ROWS", 10)
    with pytest.raises(UsageError, match="16 frames are too many to be searched; give a span of at most 10"):
        gerund.explain(recognizer, lit)
    assert len(gerund.explain(recognizer, Clip(path=lit, end=1.0)).frames) == STEPS


@pytest.mark.torch
def test_predict_draws_what_its_answer_rests_on(lit, tmp_path, capsys):
    model = tmp_path / "model"
    trained(tmp_path).save(model)
    out = tmp_path / "why.png"
    assert cli.app.meta(["predict", str(model), str(lit), "--explain", str(out)]) == 0
    assert read_picture(out).width == heatmaps.SHEET_WIDTH
    assert cli.app.meta(["predict", str(model), str(lit), str(lit), "--explain", str(out)]) == 2
    assert "one file for 2 videos; give a folder, and each gets a file of its own" in capsys.readouterr().err
    assert cli.app.meta(["predict", str(model), str(lit), "--explain", str(tmp_path / "why.mp4")]) == 2


def trained(tmp_path: Path) -> Recognizer:
    return watching(tmp_path, head=build_head("mean", token_dim=SIDE * SIDE, num_classes=2, num_frames=STEPS))


def test_the_steps_say_what_their_bars_and_points_are() -> None:
    assert heatmaps.title_of_steps(3, True, True) == (
        "3 time steps, all of the same weight; points: what hiding it alone changes, where that is 0.5 or more"
    )
    assert heatmaps.title_of_steps(3, False, False) == (
        "3 time steps, bars: how much the model heeds each; hiding one alone changes less than 0.5 points, since the others show the same"
    )
    steps = {
        "seconds": np.arange(3.0),
        "frames": np.zeros((3, 24, 32, 3), np.uint8),
        "weights": np.array([0.5, 0.3, 0.2], np.float32),
    }
    prediction = Prediction(path=Path("a.mp4"), scores=(("x", 1.0),))
    tall, short = (
        heatmaps.strip_of_steps(Explanation(prediction=prediction, drops=np.full(3, fall), heat=np.zeros((7, 7)), **steps)).height
        for fall in (0.1, 0.0004)
    )
    assert tall - short == 18, "a line of points that are all nothing is left out"


def test_a_step_has_points_only_where_hiding_it_changes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []
    monkeypatch.setattr(heatmaps, "signed", lambda change: shown.append(round(change, 4)) or "x")
    steps = explanation(np.zeros((7, 7)), [0.25] * 4)
    heatmaps.strip_of_steps(replace(steps, drops=np.array([0.2, 0.004, -0.004, -0.01])))
    assert shown == [-0.2, 0.01]


def test_a_fall_of_a_few_points_is_no_deep_red(tmp_path: Path) -> None:
    for name, fall in (("few", 0.03), ("many", 0.3)):
        heatmaps.draw_explanation(explanation(np.full((7, 7), fall), [0.25] * 4), tmp_path / f"{name}.png")
    assert not reddish(read_picture(tmp_path / "few.png")).any()
    assert reddish(read_picture(tmp_path / "many.png")).any()
