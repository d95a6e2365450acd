"""`python -m gerund`, which is what torchrun and srun start."""

from gerund.cli import main

main()
