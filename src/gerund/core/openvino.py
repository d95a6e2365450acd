"""The one OpenVINO runtime of a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gerund.core.files import scratch
from gerund.core.places import default_cache


@cache
def core() -> Any:
    """OpenVINO, which keeps compiled models in its own cache folder, so a second start is quick. Raises ImportError.

    Never ended: each runtime puts a stack of its own under signal handlers, and one of several that ends gives back another's, which may
    be gone by then; the next Ctrl-C would crash the process (seen with OpenVINO 2026.4).
    """
    import openvino as ov

    runtime = ov.Core()
    runtime.set_property({"CACHE_DIR": str(default_cache() / "openvino")})
    return runtime


def save_graph(graph: Any, path: Path) -> None:
    """Write a graph in OpenVINO's own format, both files or neither: the one with the numbers first."""
    import openvino as ov

    with scratch(path) as folder:
        partial = folder / path.name
        ov.save_model(graph, partial, compress_to_fp16=False)
        partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
        partial.replace(path)
