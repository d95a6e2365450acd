"""What every test may ask for: small videos with known pictures, the real clips, a cache of its own, a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from gerund import video
from gerund.core import progress
from support.videos import RampVideo

hypothesis.settings.register_profile("gerund", deadline=None, derandomize=True, max_examples=40, database=None)
hypothesis.settings.load_profile("gerund")
"""Property tests see the same few examples on every machine; `--hypothesis-profile default` looks for new ones."""

LOSSLESS = {"libx264": {"crf": "0"}, "mpeg4": {"qscale": "1", "flags": "qscale"}}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Features, toy data and compiled models go to a temporary folder, shared by the tests of one run."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GERUND_CACHE", str(folder))
        yield folder


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Files whose tests all need torch are left out where it is not installed; each says so of itself."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    whole = is_test and "\npytestmark = pytest.mark.torch\n" in collection_path.read_text(encoding="utf-8")
    return True if whole and find_spec("torch") is None else None


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """Tests that send a Ctrl-C hold in the background too, where processes start with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def spoken() -> None:
    """Progress and notes are shown, whatever a command before has asked for."""
    progress.speak()


@pytest.fixture
def ramp_video(tmp_path: Path) -> RampVideo:
    """Write a grey ramp: frame i has the grey level `i * step`, so that a decoded picture tells which frame it was.

    Writing and reading each round down, so that a level comes back up to 2 darker; `step` 3 keeps 85 frames apart.
    """

    def ramp_video(
        num_frames: int = 50,
        *,
        name: str = "ramp",
        fps: float = 25,
        codec: str = "libx264",
        suffix: str = ".mp4",
        size: tuple[int, int] = (32, 48),
        step: int = 3,
        folder: Path = tmp_path,
    ) -> Path:
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = (np.full((*size, 3), index * step % 256, np.uint8) for index in range(num_frames))
        video.write(path, pictures, fps=fps, codec=codec, options=LOSSLESS.get(codec))
        return path

    return ramp_video


@pytest.fixture
def real_data() -> Path:
    """The folder of real clips and weights; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("GERUND_TEST_DATA") or beside)
    if not (path / "ucf101").is_dir():
        pytest.skip(f"no real clips: {path / 'ucf101'} is not there; name their folder in GERUND_TEST_DATA")
    return path


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` skip without CUDA, and fail where the environment promises it (GERUND_REQUIRE_GPU=1)."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("GERUND_REQUIRE_GPU") == "1":
            pytest.fail("GERUND_REQUIRE_GPU=1, but torch sees no CUDA device")
        pytest.skip("needs a CUDA device")
