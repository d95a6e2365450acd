"""The one OpenVINO runtime of a process."""

from __future__ import annotations

from functools import cache
from typing import Any

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
