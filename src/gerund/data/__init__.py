"""Clips and where they come from: listings, manifests, splits, published data sets. Knows no decoder but through `video`."""
