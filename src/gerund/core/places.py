"""Where things are kept on this machine."""

import os
from pathlib import Path


def default_cache() -> Path:
    """Features, weights and compiled models: $GERUND_CACHE, or `.cache/gerund` in the home folder."""
    return Path(os.environ.get("GERUND_CACHE") or Path.home() / ".cache" / "gerund")
