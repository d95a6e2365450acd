"""The model of a project as an ordinary model folder: solved and calibrated from the same bouts by the road that training goes, saved whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gerund.core.recipes import Recipe
from gerund.core.types import Clip
from gerund.data.annotations import is_used
from gerund.features.extractor import Extraction, Extractor
from gerund.labelling.footage import Library
from gerund.labelling.project import MODEL_FOLDER, Project
from gerund.recognition.card import model_card
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.token_set import token_set
from gerund.training.calibrate import calibrate
from gerund.training.head import with_durations
from gerund.training.prepare import untrained
from gerund.training.solve import solve_quietly


def save_model(project: Project, library: Library) -> Path | None:
    """Write the folder `model` of a project; None while two labels do not have a confirmed bout each. Raises GerundError."""
    videos = project.state.videos
    found = Extraction(features={project.path_of(videos[name]): each for name, each in dict(library.features).items()})
    clips = found.usable(
        replace(each.clip, split="train") for each in project.annotations() if is_used(each) and each.path in found.features
    )
    if len({clip.label for clip in clips}) < 2:
        return None
    recognizer = trained_on(library.extractor, found, clips)
    folder = project.folder / MODEL_FOLDER
    recognizer.save(folder, card=model_card(recognizer, data=f"{project.folder.name} ({len(clips)} bouts)"))
    return folder


def trained_on(extractor: Extractor, found: Extraction, clips: list[Clip]) -> Recognizer:
    """A recogniser that has learned clips, with the default recipe's settings, and knows how sure it may be."""
    settings = Recipe()
    recognizer = replace(untrained(clips, settings, extractor.cache, extractor.backbone), extractor=extractor)
    recognizer = with_durations(recognizer, clips, found.features)
    solve_quietly(recognizer.head, token_set(recognizer, [found], clips))
    return calibrate(recognizer, found, clips, settings, epochs=1)[0]
