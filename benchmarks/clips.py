"""What the benchmarks run on: the real clips in GERUND_TEST_DATA (or ../shared/data), else synthetic ones."""

import os
import tempfile
from pathlib import Path
from typing import Any

from gerund.data.datasets import toy

DATA = Path(os.environ.get("GERUND_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def clips_folder() -> list[Path]:
    """All real clips, or a toy set written to the temporary folder once."""
    real = sorted((DATA / "ucf101" / "UCF-101").glob("*/*.avi"))
    return real or [clip.path for clip in toy.load(Path(tempfile.gettempdir()) / "gerund-bench-toy")]


def weights_of(name: str) -> dict[str, Any]:
    """Real weights where they lie beside the clips; else random ones, which take the same time."""
    file = DATA / "weights" / f"{name}.safetensors"
    return {"weights": file} if file.is_file() else {"pretrained": False}
