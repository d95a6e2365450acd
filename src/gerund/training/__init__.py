"""From clips to a run: `gerund train` and what stands around it (comparing, repeating, benchmarks, reports). Begin with `train`."""
