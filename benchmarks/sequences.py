"""Decoding given scores: frame-wise ones of long annotated videos, with durations and transitions learnt from the other splits only.

50 Salads and GTEA, scores and labels in `sequences` of GERUND_TEST_DATA. Accuracy and edit score are means over videos.
"""

import argparse
from itertools import pairwise

import numpy as np
from clips import DATA

from gerund.heads.durations import Durations
from gerund.heads.semi_markov import likeliest_states
from gerund.timelines.metrics import edit_distance
from gerund.timelines.segments import runs_of

FILES = ("salads_eval_svm", "salads_eval_edtcn", "salads_mid_svm", "gtea_svm")
SHARES = (0.5, 0.7, 1.0)
"""Of a row's log probability: what is chosen for windows that overlap, and for rows a second apart that hardly do."""
UNSEEN = 0.5
"""Added to each count of a transition."""
SCALES = np.logspace(-1, 2, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=FILES)
    for name in parser.parse_args().files:
        videos = read(name)
        print(
            f"{name}: {len(videos)} videos; scores as they are {told({key: each['P'] for key, each in videos.items()}, videos)}"
        )
        for share in SHARES:
            for known in (False, True):
                found: dict[str, np.ndarray] = {}
                for split in sorted({key.split("_")[0] for key in videos}):
                    rest = [each for key, each in videos.items() if not key.startswith(f"{split}_")]
                    own = {key: each for key, each in videos.items() if key.startswith(f"{split}_")}
                    found |= decoded_with(rest, own, share, known)
                print(
                    f"  share {share:g}, {'durations and transitions' if known else 'durations'}: {told(found, videos)}",
                    flush=True,
                )


def read(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Video -> its true classes Y (N,), scores S (N, K) and their argmax P (N,)."""
    videos: dict[str, dict[str, np.ndarray]] = {}
    with np.load(DATA / "sequences" / f"{name}.npz") as arrays:
        for key in arrays.files:
            video, _, kind = key.rpartition("_")
            videos.setdefault(video, {})[kind] = arrays[key].astype(float if kind == "S" else int)
    return videos


def decoded_with(
    rest: list[dict[str, np.ndarray]], own: dict[str, dict[str, np.ndarray]], share: float, known: bool
) -> dict[str, np.ndarray]:
    """The labels of videos, by what the other splits' labels and out-of-sample scores say."""
    scores, truth = (np.concatenate([each[kind] for each in rest]) for kind in "SY")
    labels = scores.shape[1]
    scale = min(SCALES, key=lambda each: -log_probabilities(each * scores)[np.arange(len(truth)), truth].mean())
    segments = [(each["Y"][first], end - first) for each in rest for first, end in runs_of(each["Y"])]
    durations = Durations.measured(
        [length for _, length in segments], np.array([label for label, _ in segments]), labels, by_label=True
    )
    counts = np.full((labels, labels), UNSEEN)
    for each in rest:
        for before, after in pairwise(each["Y"][first] for first, _ in runs_of(each["Y"])):
            counts[before, after] += 1
    np.fill_diagonal(counts, 0)
    follow = np.log(np.maximum(counts / counts.sum(1, keepdims=True), 1e-9)) if known else None
    prior, free = durations.log_prior(1.0), np.zeros(labels, bool)
    return {
        key: likeliest_states(share * np.log(np.exp(log_probabilities(scale * each["S"])) + 1e-4), prior, free, None, follow)
        for key, each in own.items()
    }


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def told(found: dict[str, np.ndarray], videos: dict[str, dict[str, np.ndarray]]) -> str:
    accuracy = np.mean([(found[key] == each["Y"]).mean() for key, each in videos.items()])
    edits = [edit(found[key], each["Y"]) for key, each in videos.items()]
    return f"accuracy {100 * accuracy:.1f}, edit {100 * np.mean(edits):.1f}"


def edit(found: np.ndarray, true: np.ndarray) -> float:
    ours, theirs = ([str(states[first]) for first, _ in runs_of(states)] for states in (found, true))
    return 1 - edit_distance(ours, theirs) / max(len(ours), len(theirs))


if __name__ == "__main__":
    main()
