"""`gerund`, and `python -m gerund`, which is what torchrun and srun start."""

import os
import signal
import sys


def main() -> None:
    """Entry point; see docs for the exit codes.

    A Ctrl-C counts from the first moment on, also while packages are imported, and in a process that was started with SIGINT ignored
    (as shells start those in the background): who sends it means it.
    """
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from gerund.cli import app as cli

        cli.main()
    except KeyboardInterrupt:
        print("gerund: interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # an orderly exit ends in the signal where an import was executing text when it came


if __name__ == "__main__":
    main()
