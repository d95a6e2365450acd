"""Commands run in this process, as a person would type them."""

import io
import sys

from gerund.cli import app as cli


def run(*words):
    """A command in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        code = cli.app.meta([str(word) for word in words])
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    return code, out.getvalue(), err.getvalue()


def one_line(err):
    lines = [line for line in err.splitlines() if line.startswith("gerund: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]
