"""From evidence over time to the likeliest segments: each label once in a row, for about as long as such labels last.

A semi-Markov model with explicit durations (Ferguson 1980; Sarawagi & Cohen 2004), searched as Viterbi does: the best way to end a segment of a
label at a row is the best over all its lengths, so the cost is rows x labels x longest length, in numpy over labels and lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gerund.core.types import Features
from gerund.heads.durations import Durations

EVIDENCE_SHARE = 0.5
"""Of a row's log probability: neighbouring rows see nearly the same, so a row is no witness of its own."""
EVIDENCE_FLOOR = 1e-4
BORDER_SIDE = 6
"""A border is looked for between two spans of a sixth of the median length each."""
HIGHEST_BORDER = 3.0
FREE_PRICE = -6.0
"""ln of the probability of a segment that has no prior: without a price, every dip between two labels would be one."""
BORDER_ROWS = 4096


@dataclass(frozen=True)
class SegmentPrior:
    """What is known of segments before anything is seen: `log_prior` (K, L), `free` (K,) and `log_follow` (K, K) as `likeliest_states` takes them.

    With a threshold, there is a last state more, in which no label is there: at a `price`, ln of a row's evidence. A segment of a free state
    costs `free_price`, ln of its probability.
    """

    log_prior: np.ndarray
    free: np.ndarray
    log_follow: np.ndarray
    price: float | None = None
    free_price: float = FREE_PRICE

    @classmethod
    def of(cls, durations: Durations, free: np.ndarray, *, step: float, threshold: float) -> SegmentPrior:
        """Of labels (K,) of which some are `free`, at a row each `step` seconds; `threshold` is the probability that a label has to reach, 0 none."""
        prior = durations.log_prior(step)
        follow = np.array(durations.follow) if durations.follow else np.zeros((len(free), len(free)))
        if threshold == 0:
            return cls(prior, free, follow)
        price = float(row_evidence(np.array(threshold)))
        return cls(np.vstack([prior, prior[:1]]), np.append(free, True), np.pad(follow, (0, 1)), price)

    def evidence(self, scores: np.ndarray) -> np.ndarray:
        """What probabilities (N, K) say for each state at each row (N, K) or (N, K + 1)."""
        said = row_evidence(scores)
        return said if self.price is None else np.append(said, np.full((len(said), 1), self.price), axis=1)


@dataclass(frozen=True)
class Search:
    """All that the way back needs: `begin` (K, N) is the value of beginning a label at a row, less the evidence before it; `ends` (N + 1, K)
    that of ending one before a row, `beyond` (N + 1, K) that of the best segment longer than any length of the prior, less the evidence,
    and `origin` (N + 1, K) where that began."""

    begin: np.ndarray
    beyond: np.ndarray
    origin: np.ndarray
    ends: np.ndarray


def row_evidence(scores: np.ndarray) -> np.ndarray:
    """What probabilities (N, K) say for each label at each row (N, K)."""
    return EVIDENCE_SHARE * np.log(scores.astype(np.float64) + EVIDENCE_FLOOR)


def likeliest_states(
    evidence: np.ndarray,
    log_prior: np.ndarray,
    free: np.ndarray,
    border: np.ndarray | None = None,
    log_follow: np.ndarray | None = None,
) -> np.ndarray:
    """The label of each row (N,) in the likeliest segmentation: evidence (N, K), `log_prior` (K, L) of a segment lasting 1 .. L rows.

    Longer segments go on: beyond L a length is the less likely by 1 / (L + 1) with each row. Segments of labels that are `free` (K,) last as
    long as the evidence has them, all lengths at FREE_PRICE. `border` (N,) is added wherever a segment begins, and `log_follow` (K, K) is that
    a label (row) is followed by another (column). Successive segments have different labels.
    """
    count, labels = evidence.shape
    if labels == 1 or not count:
        return np.zeros(count, np.int64)
    order = np.argsort(free, kind="stable")
    timed = log_prior[order[: int((~free).sum())]]
    follow = np.zeros((labels, labels)) if log_follow is None else log_follow[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(follow, -np.inf)
    found = searched(evidence[:, order], timed, np.zeros(count) if border is None else border, follow)
    return order[traced(found, timed, follow, count)]


def searched(evidence: np.ndarray, log_prior: np.ndarray, border: np.ndarray, follow: np.ndarray) -> Search:
    """The forward pass; `log_prior` (J, L) is that of the first J labels, the others are free; `follow` (K, K) bars a label from itself.

    Values are kept less the sum of the evidence before, so that lengths can be compared without it.
    """
    (count, labels), (timed, longest) = evidence.shape, log_prior.shape
    is_timed = np.arange(labels) < timed
    reach = np.where(is_timed, longest, 0)  # a free label is one whose shortest segment is beyond the prior already
    falling = np.where(is_timed, np.log1p(-1 / (longest + 1)), 0.0)
    last = np.append(log_prior[:, -1], np.full(labels - timed, FREE_PRICE))
    total = np.concatenate([np.zeros((1, labels)), np.cumsum(evidence, axis=0)])
    begin = np.full((labels, count), -np.inf)
    beyond, origin = np.full((count + 1, labels), -np.inf), np.zeros((count + 1, labels), np.int64)
    ends = np.full((count + 1, labels), -np.inf)
    every, entry, recent = np.arange(labels), np.zeros(labels), Recent(log_prior)
    following = np.ascontiguousarray(follow.T)
    for row in range(count):
        after, source = row + 1, row - reach
        begin[:, row] = entry + border[row] - total[row]
        fresh = begin[every, np.maximum(source, 0)] + last
        fresh[source < 0] = -np.inf
        older = beyond[row] >= fresh
        beyond[after] = best = np.where(older, beyond[row], fresh) + falling
        origin[after] = np.where(older, origin[row], source)
        best = best + total[after]
        if timed:
            best[:timed] = np.maximum(best[:timed], recent.best_after(begin[:timed, row]) + total[after, :timed])
        ends[after] = best
        entry = (following + best).max(axis=1)
    return Search(begin, beyond, origin, ends)


class Recent:
    """The best of all lengths 1 .. L at each row, from the value of beginning at each of the last L rows.

    Half as wide numbers make it twice as fast; they are kept near 0, so that nothing is lost in a long video.
    """

    def __init__(self, log_prior: np.ndarray) -> None:
        timed, self.longest = log_prior.shape
        self.backwards = np.ascontiguousarray(log_prior[:, ::-1], np.float32)
        self.values = np.full((timed, 2 * self.longest), -np.inf, np.float32)
        self.room, self.base, self.at = np.empty((timed, self.longest), np.float32), np.zeros(timed), 0

    def best_after(self, begin: np.ndarray) -> np.ndarray:
        """The best (J,) of all segments that end with this row, of which one may begin with it at `begin` (J,)."""
        if self.at == 2 * self.longest:
            newest = self.values[:, -1]
            shift = np.where(np.isfinite(newest), newest, np.float32(0))
            self.values[:, : self.longest] = self.values[:, self.longest :] - shift[:, None]
            self.base, self.at = self.base + shift, self.longest
        self.values[:, self.at] = begin - self.base
        self.at += 1
        width = min(self.at, self.longest)
        room = self.room[:, :width]
        np.add(self.values[:, self.at - width : self.at], self.backwards[:, self.longest - width :], out=room)
        return room.max(axis=1) + self.base


class Following:
    """The same search a row at a time, without looking ahead: which state goes on now, and since when.

    What goes on is not over: its length counts with the probability of lasting at least as long.
    """

    def __init__(self, prior: SegmentPrior) -> None:
        (states, self.longest), free = prior.log_prior.shape, prior.free
        self.free, self.follow = free, prior.log_follow.T.astype(np.float64)
        np.fill_diagonal(self.follow, -np.inf)
        backwards = np.where(free[:, None], -np.inf, prior.log_prior)[:, ::-1]
        lasting = np.log1p(self.longest) + backwards[:, :1]  # the sum of all that falls by 1 / (L + 1) with each row
        self.ended, self.going = backwards, np.logaddexp.accumulate(np.hstack([lasting, backwards[:, 1:]]), axis=1)
        self.last = np.where(free, prior.free_price, prior.log_prior[:, -1])
        self.falling, self.lasting = (
            np.where(free, 0.0, np.log1p(-1 / (self.longest + 1))),
            np.where(free, 0.0, np.log1p(self.longest)),
        )
        self.begun, self.beyond = np.full((states, self.longest + 1), -np.inf), np.full(states, -np.inf)
        self.origin, self.entry, self.total, self.rows = np.zeros(states, np.int64), np.zeros(states), np.zeros(states), 0

    def add(self, evidence: np.ndarray) -> tuple[int, int]:
        """The state that goes on after a row of evidence (K,), and the row where it began."""
        self.begun[:, :-1] = self.begun[:, 1:]
        self.begun[:, -1] = self.entry - self.total
        self.total = self.total + evidence
        fresh = np.where(self.free, self.begun[:, -1], self.begun[:, 0]) + self.last
        older = self.beyond >= fresh
        self.beyond = np.where(older, self.beyond, fresh) + self.falling
        self.origin = np.where(older, self.origin, self.rows - np.where(self.free, 0, self.longest))
        self.rows += 1
        ended = np.maximum((self.begun[:, 1:] + self.ended).max(axis=1), self.beyond) + self.total
        self.entry = (self.follow + ended).max(axis=1)
        going, lasting = self.begun[:, 1:] + self.going, self.beyond + self.lasting
        now = int((np.maximum(going.max(axis=1), lasting) + self.total).argmax())
        if lasting[now] >= going[now].max():
            return now, int(self.origin[now])
        return now, self.rows - self.longest + int(going[now].argmax())


def traced(found: Search, log_prior: np.ndarray, follow: np.ndarray, count: int) -> np.ndarray:
    """The way back from the end: the label of each row (N,)."""
    states, row, before = np.empty(count, np.int64), count, np.zeros(len(follow))
    while row > 0:
        label = int((found.ends[row] + before).argmax())
        start = int(found.origin[row, label])
        if label < len(log_prior):
            width = min(row, log_prior.shape[1])
            lengths = found.begin[label, row - width : row] + log_prior[label, :width][::-1]
            if lengths.max() >= found.beyond[row, label]:
                start = row - width + int(lengths.argmax())
        states[start:row] = label
        row, before = start, follow[:, label]
    return states


def border_scores(features: Features, side: int) -> np.ndarray:
    """How much a border lies before each row (N,): the distance between the mean features of `side` rows before and after it.

    Signed square roots of features are compared; the distance counts in standard deviations above the video's median, at most HIGHEST_BORDER,
    and is 0 near the ends of the video.
    """
    count, side = len(features), max(1, side)
    scores = np.zeros(count)
    if count < 2 * side + 1:
        return scores
    places = np.arange(side, count - side + 1)
    distance = np.concatenate(
        [border_distances(features, part, side) for part in np.split(places, range(BORDER_ROWS, len(places), BORDER_ROWS))]
    )
    spread = float(distance.std())
    if spread > 0:
        scores[places[places < count]] = np.minimum((distance - np.median(distance)) / spread, HIGHEST_BORDER)[places < count]
    return scores


def border_distances(features: Features, places: np.ndarray, side: int) -> np.ndarray:
    """Distance (n,) between the mean rooted rows on either side of successive places."""
    first = int(places[0]) - side
    rows = np.asarray(features.data[first : int(places[-1]) + side], np.float32)
    rooted = np.sign(rows) * np.sqrt(np.abs(rows))
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rooted, axis=0, dtype=np.float64)])
    at = places - first
    return np.linalg.norm(sums[at + side] - 2 * sums[at] + sums[at - side], axis=1) / side
