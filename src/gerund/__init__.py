"""gerund names the action in a video: from a folder of labelled clips to a recogniser in minutes."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gerund.benchmarking import Benchmark, benchmark
    from gerund.comparing import Comparison, compare
    from gerund.datasets import load_dataset
    from gerund.diagnosis import Diagnosis, doctor
    from gerund.downloading import download
    from gerund.errors import GerundError
    from gerund.evaluation import Evaluation, evaluate
    from gerund.frame_folders import frames
    from gerund.packing import Packed, pack
    from gerund.predicting import predict
    from gerund.recognizer import Recognizer
    from gerund.splitting import split
    from gerund.spotting import Event, Watch
    from gerund.steps import extract, index, info, manage_cache
    from gerund.training import Training, train
    from gerund.types import Clip, Features, FeatureSpec, Frames, Prediction, Segment
    from gerund.watching import watch

HOMES = {
    "gerund.benchmarking": ("Benchmark", "benchmark"),
    "gerund.comparing": ("Comparison", "compare"),
    "gerund.datasets": ("load_dataset",),
    "gerund.diagnosis": ("Diagnosis", "doctor"),
    "gerund.downloading": ("download",),
    "gerund.errors": ("GerundError",),
    "gerund.evaluation": ("Evaluation", "evaluate"),
    "gerund.frame_folders": ("frames",),
    "gerund.packing": ("Packed", "pack"),
    "gerund.predicting": ("predict",),
    "gerund.recognizer": ("Recognizer",),
    "gerund.splitting": ("split",),
    "gerund.spotting": ("Event", "Watch"),
    "gerund.steps": ("extract", "index", "info", "manage_cache"),
    "gerund.training": ("Training", "train"),
    "gerund.types": ("Clip", "FeatureSpec", "Features", "Frames", "Prediction", "Segment"),
    "gerund.watching": ("watch",),
}

__all__ = [
    "Benchmark",
    "Clip",
    "Comparison",
    "Diagnosis",
    "Evaluation",
    "Event",
    "FeatureSpec",
    "Features",
    "Frames",
    "GerundError",
    "Packed",
    "Prediction",
    "Recognizer",
    "Segment",
    "Training",
    "Watch",
    "benchmark",
    "compare",
    "doctor",
    "download",
    "evaluate",
    "extract",
    "frames",
    "index",
    "info",
    "load_dataset",
    "manage_cache",
    "pack",
    "predict",
    "split",
    "train",
    "watch",
]
__version__ = version("gerund")


def __getattr__(name: str) -> Any:
    """Import what is used when it is used: `import gerund` alone loads neither torch nor numpy."""
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'gerund' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
