"""What a trained recogniser learns about itself, on clips that the heads judging them have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from gerund.core.progress import note, progress
from gerund.core.recipes import Recipe
from gerund.core.types import Clip
from gerund.data.manifest import group_of, of_split
from gerund.data.split import dealt_folds
from gerund.features.extractor import Extraction
from gerund.heads import Head, build_head
from gerund.heads.ridge import smoothed_losses, told_apart
from gerund.recognition.calibration import Familiarity, fit_temperature
from gerund.recognition.recognizer import Recognizer, logits_of
from gerund.recognition.token_set import TokenSet, token_set
from gerund.training.solve import solve_quietly

CALIBRATION_FOLDS = 5
ENOUGH = 100
"""Validation clips that speak for themselves; fewer are joined with the training clips and cross-validated."""


@dataclass(frozen=True)
class HeldOut:
    """Clips judged without having been trained on: `logits` (M, K), `targets` (M,), `familiarity` (M,), `said` (M,): the highest score."""

    logits: np.ndarray
    targets: np.ndarray
    familiarity: np.ndarray
    said: np.ndarray


def calibrate(
    recognizer: Recognizer, extraction: Extraction, clips: Sequence[Clip], settings: Recipe, epochs: int
) -> tuple[Recognizer, int]:
    """A recogniser with its temperature and its sense of the unknown, and on how many held-out clips they are fitted.

    These are the validation clips where there are ENOUGH, where time is rationed, or where the backbone has learnt from the training
    clips; else the training and validation clips, each judged by a head that was trained without its fold, as the recogniser's own
    was, for the same number of `epochs`. A head in closed form that tells what it would say of clips left out is solved but once, and its
    scale is its temperature. A temperature that makes the validation clips less likely is not taken. Test clips are not used.
    """
    if not settings.calibration:
        return recognizer, 0
    known = extraction.usable(of_split(clips, "train", "val"))
    is_val = np.array([clip.split == "val" for clip in known])
    by_folds = is_val.sum() < ENOUGH and settings.time is None and settings.finetune is None
    in_closed_form = recognizer.head.in_closed_form
    draws = settings.draws if by_folds and not in_closed_form else 0
    tokens = token_set(recognizer, [extraction], known, draws=draws, rng=np.random.default_rng(settings.seed))
    seen = np.ones_like(is_val) if by_folds else ~is_val
    folds = dealt_folds(known, [group_of(clip) for clip in known], CALIBRATION_FOLDS, "calibration")
    temperature = None
    if by_folds and in_closed_form and (scores := left_out_scores(recognizer, tokens)) is not None:
        held, temperature = judged_at_once(tokens, folds, *scores), 1.0
    elif by_folds:
        held = judged_by_folds(recognizer, tokens, folds, settings, epochs)
    else:
        unseen = [judged_unseen(recognizer.head, familiarity_of(tokens, seen), tokens, is_val)] if is_val.any() else []
        held = joined(unseen, len(recognizer.labels))
    familiarity = None
    if len(held.targets):
        familiarity = replace(familiarity_of(tokens, seen).compared(held.familiarity, held.said), unit=recognizer.head.scale)
    if temperature is None:
        temperature = fit_temperature(held.logits, held.targets)
        if by_folds and is_val.any():
            temperature = helpful(temperature, *answered(recognizer.head, tokens, is_val))
    return replace(recognizer, temperature=temperature, familiarity=familiarity), len(held.targets)


def helpful(temperature: float, logits: np.ndarray, targets: np.ndarray) -> float:
    """A temperature, or 1 where it makes the truth (N,) less likely by logits (N, K) of clips that it was not fitted on."""
    plain, cooled = (log_loss(logits / each, targets) for each in (1.0, temperature))
    if cooled <= plain:
        return temperature
    note(
        f"A temperature of {temperature:.2f} makes the validation clips less likely (log loss {plain:.3f} -> {cooled:.3f}): it is left at 1."
    )
    return 1.0


def log_loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean of -ln of the probability of the truth (N,); rows of logits (N, K) that are not finite are left out."""
    good = np.isfinite(logits).all(axis=1)
    each = smoothed_losses(logits[good], targets[good], 0.0)
    return float(each.mean()) if good.any() else 0.0


def answered(head: Head, tokens: TokenSet, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (M, K) and truth (M,) of the chosen clips."""
    return logits_of(head, tokens.data[0][chosen].astype(np.float32), tokens.valid[0][chosen]), tokens.targets[chosen]


def left_out_scores(recognizer: Recognizer, tokens: TokenSet) -> tuple[np.ndarray, float] | None:
    """Scores (N, K) of all clips had each group been left out, and by what to multiply them; None of a head that cannot tell."""
    head = fresh_head(recognizer, tokens, None)
    scores = solve_quietly(head, tokens)
    return None if scores is None else (scores, float(head.scale[0]))


def judged_at_once(tokens: TokenSet, folds: np.ndarray, scores: np.ndarray, scale: float) -> HeldOut:
    """All clips whose class has other groups, by the scores (N, K) that the head says it would give were their group left out."""
    known = told_apart(tokens.targets, tokens.groups, scores.shape[1])
    familiarity = np.zeros(len(tokens))
    for fold in range(CALIBRATION_FOLDS):
        rest, held = folds != fold, folds == fold
        if held.any() and rest.any():
            familiarity[held] = familiarity_of(tokens, rest).score(tokens.data[0][held], tokens.valid[0][held])
        else:
            known &= rest
    return HeldOut(scale * scores[known], tokens.targets[known], familiarity[known], scores[known].max(axis=1))


def judged_by_folds(recognizer: Recognizer, tokens: TokenSet, folds: np.ndarray, settings: Recipe, epochs: int) -> HeldOut:
    """All clips whose class has other groups, each judged by a head trained on the other folds; `folds` (N,)."""
    parts = []
    with progress("Calibrating", CALIBRATION_FOLDS, "folds") as bar:
        for fold in range(CALIBRATION_FOLDS):
            rest = folds != fold
            held = ~rest & np.isin(tokens.targets, tokens.targets[rest])
            if held.any() and rest.sum() > 1:  # batch norms cannot use a single clip
                head = fresh_head(recognizer, tokens, settings.seed)
                fit_on(head, tokens.of(rest), settings, tokens.targets, epochs=epochs, device=recognizer.device)
                parts.append(judged_unseen(head, familiarity_of(tokens, rest), tokens, held))
            bar.advance()
    return joined(parts, len(recognizer.labels))


def fresh_head(recognizer: Recognizer, tokens: TokenSet, seed: int | None) -> Head:
    """A head as the recogniser's, with the first weights of a seed."""
    return build_head(
        recognizer.head_name,
        token_dim=tokens.data.shape[3],
        num_classes=len(recognizer.labels),
        num_frames=tokens.data.shape[2],
        options=recognizer.head_options,
        seed=seed,
    )


def joined(parts: Sequence[HeldOut], num_classes: int) -> HeldOut:
    """All parts in one; of none, one without clips."""
    if not parts:
        return HeldOut(np.empty((0, num_classes)), np.empty(0, np.int64), np.empty(0), np.empty(0))
    return HeldOut(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(HeldOut)))


def fit_on(head: Head, tokens: TokenSet, settings: Recipe, targets: np.ndarray, *, epochs: int, device: str) -> None:
    """Fit a head of either kind, with nothing told or written; `targets` (N,) say how often each class is there."""
    if head.in_closed_form:
        solve_quietly(head, tokens)
        return
    from gerund.heads.learned.base import module_behind
    from gerund.learning.fit import fit_quietly

    fit_quietly(module_behind(head), tokens, settings, targets, epochs=epochs, device=device)


def familiarity_of(tokens: TokenSet, chosen: np.ndarray) -> Familiarity:
    return Familiarity.fit(*(part[chosen] for part in (tokens.data[0], tokens.valid[0], tokens.targets)))


def judged_unseen(head: Head, familiarity: Familiarity, tokens: TokenSet, chosen: np.ndarray) -> HeldOut:
    logits, targets = answered(head, tokens, chosen)
    score = familiarity.score(tokens.data[0][chosen], tokens.valid[0][chosen])
    return HeldOut(logits, targets, score, logits.max(axis=1) / head.scale)
