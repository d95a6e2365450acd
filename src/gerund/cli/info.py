"""`gerund info`: what this machine has to offer."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from gerund.backbones import best_device, resolve_precision
from gerund.core import options
from gerund.core.places import as_path, default_cache
from gerund.core.results import Facts

SHOWN_PACKAGES = ("gerund", "torch", "lightning-fabric", "timm", "openvino", "av", "numpy", "safetensors", "huggingface-hub")


def info(*, cache: options.CacheFolder | None = None) -> Facts:
    """Versions, devices, decoder, engines and the size of the cache.

    Each argument is explained in `gerund.core.options`, and by `gerund info --help`.
    """
    folder = as_path(cache) or default_cache()
    files = [file for file in folder.rglob("*") if file.is_file()]
    device = best_device()
    return Facts(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count(),
        device=device,
        engine="OpenVINO" if device == "cpu" else "torch",
        precision=resolve_precision("auto", device),
        decoder=f"FFmpeg (PyAV {installed('av')})",
        cache=str(folder),
        cache_files=len(files),
        cache_bytes=sum(file.stat().st_size for file in files),
        versions={name: installed(name) for name in SHOWN_PACKAGES},
    )


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
