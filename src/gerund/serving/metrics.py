"""What the server counts, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds of the latency histogram."""


class Metrics:
    """Requests by route, method and status, and how long they took."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.buckets: Counter[tuple[str, float]] = Counter()
        self.seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests[route, method, status] += 1
        self.counts[route] += 1
        self.seconds[route] += seconds  # type: ignore[assignment]
        for bound in BUCKETS:
            if seconds <= bound:
                self.buckets[route, bound] += 1

    def text(self, values: Mapping[str, tuple[str, str, float]]) -> str:
        """All counts, and `values`: name -> (kind, help, value)."""
        return "".join(f"{line}\n" for line in [*self.lines(), *lines_of(values)])

    def lines(self) -> Iterator[str]:
        yield from head("gerund_requests_total", "counter", "Requests by route, method and status.")
        for (route, method, status), count in sorted(self.requests.items()):
            yield f'gerund_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}'
        yield from head("gerund_request_seconds", "histogram", "Seconds from the request's head to the answer's end.")
        for route in sorted(self.counts):
            for bound in BUCKETS:
                yield f'gerund_request_seconds_bucket{{route="{route}",le="{bound:g}"}} {self.buckets[route, bound]}'
            yield f'gerund_request_seconds_bucket{{route="{route}",le="+Inf"}} {self.counts[route]}'
            yield f'gerund_request_seconds_sum{{route="{route}"}} {self.seconds[route]:.6f}'
            yield f'gerund_request_seconds_count{{route="{route}"}} {self.counts[route]}'


def head(name: str, kind: str, explained: str) -> Iterable[str]:
    return (f"# HELP {name} {explained}", f"# TYPE {name} {kind}")


def lines_of(values: Mapping[str, tuple[str, str, float]]) -> Iterator[str]:
    for name, (kind, explained, value) in values.items():
        yield from head(name, kind, explained)
        yield f"{name} {value:.6f}".rstrip("0").rstrip(".")
