"""Streams, and what happens in them now: cameras, addresses, files at their own pace. Begin with `source`. Knows no recogniser."""
