"""Exported models: how far their answers are from the model's."""

import tempfile
from pathlib import Path
from typing import Any, Literal

from clips import clips_folder, weights_of

import gerund
from gerund.core import progress
from gerund.core.types import Clip

BACKBONES = {"mobilenetv2_100": 224, "resnet18": 112, "densenet121": 128}
HEADS = ("prototype", "transformer", "bilstm", "mean")
FORMATS: tuple[Literal["onnx", "openvino", "torch"], ...] = ("onnx", "openvino", "torch")


def trained(backbone: str, head: str, folder: Path, clips: list[Clip]) -> Path:
    options: dict[str, Any] = {"image_size": BACKBONES[backbone], "precision": "f32", "epochs": 5, **weights_of(backbone)}
    return gerund.train(
        clips, backbone=backbone, head=head, out=folder / f"{backbone}-{head}", cache=folder / "cache", **options
    ).run


def parity(folder: Path, clips: list[Clip]) -> None:
    """Every head as ONNX; the other formats, whose heads are the same graphs, with the first."""
    print("largest difference of a probability between the model in f32 and the exported one:")
    for backbone in BACKBONES:
        for head in HEADS:
            run = trained(backbone, head, folder, clips)
            for format_ in FORMATS if head == HEADS[0] else FORMATS[:1]:
                values = gerund.export(run, run / format_, format_=format_, cache=folder / "cache").values
                same = f"same label for {100 * values['same_label']:.0f} % of {values['clips']} clips"
                print(
                    f"{backbone:16s} {head:12s} {format_:9s} {values['max_difference']:.1e}  {same}  {values['bytes'] / 1e6:.0f} MB",
                    flush=True,
                )


def main() -> None:
    paths = clips_folder()
    clips = [Clip(path=path, label=path.parent.name, group=path.stem.rpartition("_")[0]) for path in paths[::12]]
    progress.notes.setLevel("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        parity(Path(folder), clips)


if __name__ == "__main__":
    main()
