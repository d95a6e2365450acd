# Exploring a data set: run it cell by cell in an editor that knows `# %%`, or whole: python examples/explore.py [DATA]
# Pictures go to the folder `explore`.
# pyright: reportUnknownMemberType=false
# (which matplotlib does not tell of everything it takes)

# %% What is there
import sys
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # leave this line out in a notebook
import matplotlib.pyplot as plt
import numpy as np

import gerund
from gerund.features.tokens import tokens

data = sys.argv[1] if len(sys.argv) > 1 else "toy"
pictures = Path("explore")
pictures.mkdir(exist_ok=True)
clips = gerund.index(data)
print(Counter((clip.label, clip.split) for clip in clips))

# %% Two heads on the same features: the second run decodes nothing
runs = {head: gerund.train(data, backbone="pixels", head=head, epochs=10) for head in ("transformer", "mean")}
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for head, run in runs.items():
    axes.plot([epoch.val_loss for epoch in run.history], label=f"{head}: test {run.metrics['test']['top1']:.0%}")
axes.set(xlabel="epoch", ylabel="validation loss", title="Which head?")
axes.legend()
figure.savefig(pictures / "heads.png", dpi=120)

# %% What the backbone sees: each clip's mean feature, in the two directions in which clips differ most
recognizer = gerund.Recognizer.load(runs["transformer"].model)
features = recognizer.extractor.extract(clip.path for clip in clips).features
seen = [clip for clip in clips if clip.path in features]
means = np.stack([tokens(features[clip.path], clip, recognizer.sampling)[0].mean(0) for clip in seen])
centred = means - means.mean(0)
plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
for label in recognizer.labels:
    points = plane[[clip.label == label for clip in seen]]
    axes.scatter(points[:, 0], points[:, 1], s=14, label=label)
axes.set(title="Clips as the backbone sees them", xticks=[], yticks=[])
axes.legend(fontsize="small")
figure.savefig(pictures / "features.png", dpi=120)

# %% When in a clip does the answer come? Probabilities of growing spans of one test clip
assert runs["transformer"].test is not None
clip = runs["transformer"].test.clips[0]
ends = np.linspace(0.2, features[clip.path].end, 12)
scores = recognizer.segment_scores(features[clip.path], [gerund.Clip(path=clip.path, end=end) for end in ends])
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for index in map(int, scores[-1].argsort()[::-1][:3]):
    axes.plot(ends, scores[:, index], label=recognizer.labels[index])
axes.set(xlabel="seconds seen", ylabel="probability", ylim=(0, 1), title=f"A clip of {clip.label}")
axes.legend()
figure.savefig(pictures / "growing.png", dpi=120)
print("Written:", *sorted(str(picture) for picture in pictures.glob("*.png")))
