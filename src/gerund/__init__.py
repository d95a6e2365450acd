"""gerund names the action in a video: from a folder of labelled clips to a recogniser in minutes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gerund.cli.info import info
    from gerund.core.errors import GerundError
    from gerund.core.types import Clip, Explanation, Features, FeatureSpec, Frames, Prediction, Segment, Timeline
    from gerund.data.annotations import Annotation
    from gerund.data.datasets import load_dataset
    from gerund.data.download import download
    from gerund.data.frames import frames
    from gerund.data.index import index
    from gerund.data.split import split
    from gerund.diagnosis.doctor import Diagnosis, doctor
    from gerund.features.cache import manage_cache
    from gerund.features.extract import extract
    from gerund.features.packed import Packed, pack
    from gerund.labelling.studio import studio
    from gerund.learning.pretrain import Pretraining, pretrain
    from gerund.live.spotter import Event, Watch
    from gerund.recognition.evaluate import Evaluation, evaluate
    from gerund.recognition.explain import explain
    from gerund.recognition.export import Export, export
    from gerund.recognition.predict import predict
    from gerund.recognition.push import push
    from gerund.recognition.recognizer import Recognizer
    from gerund.recognition.watch import watch
    from gerund.serving.server import serve
    from gerund.timelines.agree import Agreement, agree
    from gerund.timelines.cut import Cuts, cut
    from gerund.timelines.evaluate import TimelineEvaluation, evaluate_timeline
    from gerund.timelines.render import Films, render
    from gerund.timelines.statistics import Statistics
    from gerund.timelines.stats import stats
    from gerund.timelines.timeline import timeline
    from gerund.training.benchmark import Benchmark, benchmark
    from gerund.training.compare import Comparison, compare
    from gerund.training.repeat import Trainings, train_all
    from gerund.training.run import Training
    from gerund.training.train import train

HOMES = {
    "gerund.training.benchmark": ("Benchmark", "benchmark"),
    "gerund.training.compare": ("Comparison", "compare"),
    "gerund.data.annotations": ("Annotation",),
    "gerund.data.datasets": ("load_dataset",),
    "gerund.diagnosis.doctor": ("Diagnosis", "doctor"),
    "gerund.data.download": ("download",),
    "gerund.core.errors": ("GerundError",),
    "gerund.recognition.evaluate": ("Evaluation", "evaluate"),
    "gerund.recognition.explain": ("explain",),
    "gerund.recognition.export": ("Export", "export"),
    "gerund.data.frames": ("frames",),
    "gerund.timelines.render": ("Films", "render"),
    "gerund.features.packed": ("Packed", "pack"),
    "gerund.recognition.predict": ("predict",),
    "gerund.learning.pretrain": ("Pretraining", "pretrain"),
    "gerund.recognition.push": ("push",),
    "gerund.recognition.recognizer": ("Recognizer",),
    "gerund.training.repeat": ("Trainings", "train_all"),
    "gerund.serving.server": ("serve",),
    "gerund.labelling.studio": ("studio",),
    "gerund.data.split": ("split",),
    "gerund.live.spotter": ("Event", "Watch"),
    "gerund.data.index": ("index",),
    "gerund.features.cache": ("manage_cache",),
    "gerund.features.extract": ("extract",),
    "gerund.cli.info": ("info",),
    "gerund.timelines.evaluate": ("TimelineEvaluation", "evaluate_timeline"),
    "gerund.timelines.agree": ("Agreement", "agree"),
    "gerund.timelines.cut": ("Cuts", "cut"),
    "gerund.timelines.statistics": ("Statistics",),
    "gerund.timelines.stats": ("stats",),
    "gerund.timelines.timeline": ("timeline",),
    "gerund.training.run": ("Training",),
    "gerund.training.train": ("train",),
    "gerund.core.types": ("Clip", "Explanation", "FeatureSpec", "Features", "Frames", "Prediction", "Segment", "Timeline"),
    "gerund.recognition.watch": ("watch",),
}

__all__ = [
    "Agreement",
    "Annotation",
    "Benchmark",
    "Clip",
    "Comparison",
    "Cuts",
    "Diagnosis",
    "Evaluation",
    "Event",
    "Explanation",
    "Export",
    "FeatureSpec",
    "Features",
    "Films",
    "Frames",
    "GerundError",
    "Packed",
    "Prediction",
    "Pretraining",
    "Recognizer",
    "Segment",
    "Statistics",
    "Timeline",
    "TimelineEvaluation",
    "Training",
    "Trainings",
    "Watch",
    "agree",
    "benchmark",
    "compare",
    "cut",
    "doctor",
    "download",
    "evaluate",
    "evaluate_timeline",
    "explain",
    "export",
    "extract",
    "frames",
    "index",
    "info",
    "load_dataset",
    "manage_cache",
    "pack",
    "predict",
    "pretrain",
    "push",
    "render",
    "serve",
    "split",
    "stats",
    "studio",
    "timeline",
    "train",
    "train_all",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import what is used when it is used: `import gerund` alone loads neither torch nor numpy."""
    if name == "__version__":
        return import_module("importlib.metadata").version("gerund")
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'gerund' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
