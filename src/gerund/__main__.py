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
        words = sys.argv[1:]
        if not words or (all(word.startswith("-") for word in words) and {"-h", "--help"} & set(words)):
            from gerund.cli.commands import overview
            from gerund.core.printing import prepare, say

            prepare()
            say(*overview())
            return
        from gerund.cli import app as cli

        cli.main()
    except BrokenPipeError:  # of a reader of help that has seen enough
        sys.stdout = None
    except KeyboardInterrupt:
        print("gerund: interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # an orderly exit ends in the signal where an import was executing text when it came


if __name__ == "__main__":
    main()
