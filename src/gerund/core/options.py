"""Every option of every verb, once: its type, its help, and the value that holds when nothing is said.

An alias such as `CacheFolder` stands in the signatures of the API, `cache: CacheFolder | None = None`, and the command line makes its
flag and its help of it. What a recipe sets has its default in `core.recipes.Recipe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from gerund.core.option_groups import (
    BACKBONE,
    EPOCHS,
    HEAD,
    INPUT,
    MACHINE,
    METHOD,
    OUTPUT,
    RECIPE,
    SERVER,
    TIME_STEPS,
    TUNING,
    option,
)
from gerund.core.places import AnyPath
from gerund.core.recipes import RECIPES
from gerund.core.types import Clip

USUAL = RECIPES["default"]
"""The default recipe, whose values hold when nothing is said."""
FPS: float | Literal["native"] = USUAL.fps or "native"
"""Its frames per second."""
RECIPE_NAMES = ",".join(RECIPES)
AUTO_WINDOW: Literal["auto"] = "auto"
THRESHOLD = 0.3
FAMILIAR_WINDOWS = 0.0

ExportedModel = Annotated[
    AnyPath,
    option(INPUT, "A run folder, a model folder, or hf:USER/MODEL; with --backbone-only a backbone, as train takes it."),
]
ModelPath = Annotated[AnyPath, option(INPUT, "A run folder, a model folder, or hf:USER/MODEL.")]
MoreRuns = Annotated[
    AnyPath,
    option(
        INPUT,
        "More runs, or a folder of them; and what is no run is the data: a folder, a CSV or name:path (of data with splits, the test part). "
        "Without data: the test clips recorded in each run.",
    ),
]
Data = Annotated[
    Sequence[AnyPath | Clip] | AnyPath,
    option(INPUT, "Folders with a sub-folder per class, tables (CSV, .xlsx, BORIS), .eaf, or name:path (ucf101:DIR, toy)."),
]
SpansData = Annotated[AnyPath, option(INPUT, "A CSV with start and end, or name:path; of data with splits, the test part.")]
OfficialData = Annotated[str, option(INPUT, "Data with official splits: ucf101:DIR, ucf101-top5:DIR or hmdb51:DIR.")]
Inputs = Annotated[
    Sequence[AnyPath],
    option(
        INPUT,
        "Videos, folders (all videos in them), patterns like '*.avi', text files with one path per line, or CSV manifests; "
        "for pretrain, name:path too.",
    ),
]
OnlySubject = Annotated[str, option(INPUT, "Train on the spans of this subject only.")]
OverlapRule = Annotated[Literal["first", "longest"], option(INPUT, "Of spans that overlap, which keeps the time.", "refuse them")]
ToCount = Annotated[AnyPath, option(INPUT, "A model and videos; or what timeline printed, .eaf, BORIS, CSV, name:path.")]
FirstLabels = Annotated[AnyPath, option(INPUT, "One side: a file with labels as stats takes them, or a model.")]
SecondLabels = Annotated[AnyPath, option(INPUT, "The other side: a file with labels of the same videos.")]
VideoTable = Annotated[AnyPath, option(INPUT, "A table for --by: a column path, and columns of your own such as treatment.")]
VideoPath = Annotated[AnyPath, option(INPUT, "The video; or a folder, a pattern or a list of several.")]
VideoFolder = Annotated[AnyPath, option(INPUT, "Folder with the videos, in it or below it.")]
OfClips = Annotated[bool, option(INPUT, "A grid of short clips with one label each.", "a grid where all videos are short")]
StreamSource = Annotated[
    AnyPath,
    option(INPUT, "A camera's number, a URL (rtsp, http, udp, tcp ...), a file, a named pipe, or - for standard input."),
]
PublishedName = Annotated[str, option(INPUT, "ucf101 (7 GB), ucf101-top5 or hmdb51 (2 GB).")]
Archives = Annotated[
    list[AnyPath], option(INPUT, "Archive that is at hand already, under its published name; may be given several times.")
]
PackedFrom = Annotated[AnyPath, option(INPUT, "Cache folder that holds the features.")]
OfficialSplit = Annotated[
    int,
    option(
        INPUT,
        "Number of the official split, for data sets that have several. compare leaves its test clips out, pretrain takes its "
        "training clips.",
        "1",
    ),
]
OfficialSplits = Annotated[
    str | Sequence[int], option(INPUT, "Numbers of several official splits, as 1,2,3: one training for each.")
]
ValShare = Annotated[float, option(INPUT, "Share of the training groups used for validation.", USUAL.val)]
GroupPattern = Annotated[
    str,
    option(INPUT, "Pattern (regular expression) whose bracket is a file's group, as '(match \\d+)'; a group stays on one side."),
]
AllowLeak = Annotated[bool, option(INPUT, "Accept a given split with a group on two sides: it flatters.", USUAL.allow_leak)]
LeaveOneOut = Annotated[
    Literal["group"], option(INPUT, "Keep nothing back: train on all, and judge each group by a head without it; for few videos.")
]
Background = Annotated[bool, option(INPUT, "Add clips of unlabelled time as the class background.", USUAL.background)]

RecipeName = Annotated[str, option(RECIPE, "Named set of constants: default, hybrid-transformer or convlstm.", "default")]
RecipeNames = Annotated[str, option(RECIPE, "Recipes, with commas: default, hybrid-transformer, convlstm.")]
ConfigFile = Annotated[AnyPath, option(RECIPE, "A run's config.json: the same settings; flags given beside it win.")]
Resume = Annotated[
    AnyPath,
    option(
        RECIPE, "A run folder or checkpoint to go on from, to the same weights as if never stopped; `last` is the newest run."
    ),
]
Seed = Annotated[int, option(RECIPE, "Number that all chance is drawn from: the same gives the same again.", USUAL.seed)]
SeedCount = Annotated[int, option(RECIPE, "How many seeds to train each split with, counted from --seed (or from 0).")]

BackboneName = Annotated[
    str,
    option(
        BACKBONE,
        "lite, lite2, pixels (the bare picture), pixels:SIZE or a graph NET.onnx; with torch any image model of timm, or hf:FOLDER.",
        USUAL.backbone,
    ),
]
BackboneNames = Annotated[
    str, option(BACKBONE, "Backbones to compare, with commas; one with weights of its own is NAME=FILE.", USUAL.backbone)
]
Weights = Annotated[AnyPath, option(BACKBONE, "File with the weights of the backbone (safetensors, or a state dict).")]
Pretrained = Annotated[
    bool, option(BACKBONE, "Fetch the backbone's published weights; without, it is randomly initialised.", USUAL.pretrained)
]
ImageSize = Annotated[int, option(BACKBONE, "Side of the backbone's input in pixels.", "the backbone's own")]
FrameFit = Annotated[
    Literal["crop", "squeeze", "letterbox"],
    option(BACKBONE, "How a frame becomes square: crop, squeeze or letterbox.", "squeeze"),
]
FrameRate = Annotated[float | Literal["native"], option(BACKBONE, "Frames per second that are looked at, or native.", USUAL.fps)]
Precision = Annotated[
    Literal["auto", "bf16", "f32", "int8"],
    option(BACKBONE, "How exactly it computes: bf16, f32, int8 (set up on the clips) or auto.", USUAL.precision),
]
FloatPrecision = Annotated[
    Literal["auto", "bf16", "f32"], option(BACKBONE, "How exactly it computes: bf16, f32 or auto.", USUAL.precision)
]

NumFrames = Annotated[int, option(TIME_STEPS, "Time steps that the head sees of a clip.", USUAL.num_frames)]
TakeFrom = Annotated[
    Literal["mean", "middle", "first"],
    option(
        TIME_STEPS,
        "What a time step is made of: the mean of its part of the clip, its middle frame; or the first frames of the clip.",
        USUAL.take,
    ),
]
JoinMotion = Annotated[bool, option(TIME_STEPS, "Join how much the features change within each step.", USUAL.motion)]
Views = Annotated[Literal[1, 2], option(TIME_STEPS, "1, or 2 to train on mirrored frames too.", USUAL.views)]
Draws = Annotated[int, option(TIME_STEPS, "Versions made of each training clip, each a little shifted.", USUAL.draws)]

AutoHead = Annotated[bool, option(HEAD, "Choose head and backbone by what they answer on clips left out.")]
HeadName = Annotated[
    str,
    option(
        HEAD,
        "prototype (solved at once); with torch transformer, bilstm, mean, frame; or your own, package.module:Class; --head.width 256 is an option.",
        USUAL.head,
    ),
]
HeadNames = Annotated[str, option(HEAD, "Heads to compare, with commas: transformer, bilstm, mean, frame, prototype.")]
HeadOptions = Annotated[dict[str, str | float], option(HEAD, "Options of the head, as --head.width 256.")]
Encoder = Annotated[
    AnyPath,
    option(HEAD, "Folder made by pretrain with the same backbone and steps, whose encoder the transformer head starts from."),
]

Epochs = Annotated[int, option(EPOCHS, "Passes over the training clips, at most.", USUAL.epochs)]
BatchSize = Annotated[int, option(EPOCHS, "Clips per training step.", USUAL.batch_size)]
Optimizer = Annotated[Literal["adamw", "adam"], option(EPOCHS, "Method of learning: adamw or adam.", USUAL.optimizer)]
LearningRate = Annotated[float, option(EPOCHS, "Peak learning rate: how large a step is.", USUAL.lr)]
WeightDecay = Annotated[float, option(EPOCHS, "How small weights are held, against learning by heart.", USUAL.weight_decay)]
Schedule = Annotated[Literal["cosine", "constant"], option(EPOCHS, "The learning rate falls (cosine) or stays.", USUAL.schedule)]
Warmup = Annotated[float, option(EPOCHS, "Share of all steps until the peak learning rate is reached.", USUAL.warmup)]
LabelSmoothing = Annotated[float, option(EPOCHS, "Share that all classes get, against being too sure.", USUAL.label_smoothing)]
Calibration = Annotated[bool, option(METHOD, "Fit percentages and unknown on clips left out; without, none is unknown.", "yes")]
ClassWeights = Annotated[bool, option(EPOCHS, "Weigh rare classes more.", USUAL.class_weights)]
Patience = Annotated[
    int, option(EPOCHS, "Epochs without a better validation loss before training stops; 0 never stops.", USUAL.patience)
]
SaveEvery = Annotated[int, option(EPOCHS, "Keep a checkpoint every so many epochs; 0 keeps the last one only.", USUAL.save_every)]
Budget = Annotated[str, option(EPOCHS, "Budget such as 90s, 10m or 1.5h; training stops after the epoch in which it is used up.")]
HiddenShare = Annotated[float, option(EPOCHS, "Share of a clip's steps that are hidden.")]
SpanSeconds = Annotated[float, option(TIME_STEPS, "Seconds: videos of more than twice this are cut into clips of this length.")]

Tuning = Annotated[
    Literal["last-stage", "all"],
    option(
        TUNING,
        "Train the backbone first, its last-stage or all of it, on augmented frames; for those who have a GPU.",
        "not at all",
    ),
]
TuningEpochs = Annotated[int, option(TUNING, "Passes over the training clips in fine-tuning, at most.", USUAL.finetune_epochs)]
BackboneRate = Annotated[float, option(TUNING, "Peak learning rate of the backbone in fine-tuning.", USUAL.lr_backbone)]

Folds = Annotated[int, option(METHOD, "Parts that the groups are dealt into; each is tested once.")]
SplitFolds = Annotated[
    int, option(METHOD, "Number of folds: each part is the test side of one manifest and in train of all others.")
]
Together = Annotated[
    Literal["group", "clip"], option(METHOD, "What stays together: group, or clip for a random split, whose scores are too good.")
]
SplitVal = Annotated[float, option(METHOD, "Share of all clips for validation. Training carves it itself out of a fold.", "0.15")]
SplitTest = Annotated[float, option(METHOD, "Share of all clips for testing.", "0.2")]
Anew = Annotated[bool, option(METHOD, "Forget the splits that clips have.")]
MeasureLeak = Annotated[
    bool,
    option(
        METHOD,
        "Train a quick head on random clips and on whole groups, and tell both accuracies; backbone and seed are for this.",
    ),
]
TopK = Annotated[int, option(METHOD, "How many labels to give for each.")]
Familiar = Annotated[
    float, option(METHOD, "Answer unknown where fewer than this share of known clips look as unfamiliar; 0 is never.", "0.05")
]
FamiliarWindows = Annotated[
    float,
    option(METHOD, "Leave out windows as unfamiliar as fewer than this share of known clips are, 0 to 1; 0 leaves out none."),
]
WindowSeconds = Annotated[
    float | Literal["auto"],
    option(METHOD, "Seconds that are judged at once; auto is half the median length of the clips the model was trained on."),
]
Hop = Annotated[float, option(METHOD, "Seconds from one window to the next.", "an eighth of the window, at least a step")]
MinDuration = Annotated[
    float, option(METHOD, "Seconds that a segment lasts at least; shorter gaps are closed.", "as the labels do")
]
Threshold = Annotated[float, option(METHOD, "Probability, 0 to 1, below which time is a gap between segments; 0 leaves none.")]
ByColumn = Annotated[
    str, option(METHOD, "Column that groups the videos: one of the table of videos, or group, split or by of a manifest.")
]
BinSeconds = Annotated[float, option(METHOD, "Length of a time bin in seconds: numbers for each bin in place of whole videos.")]
FollowSeconds = Annotated[float, option(METHOD, "Seconds after the end of a bout within which another counts as following it.")]
StepSeconds = Annotated[float, option(METHOD, "Length of the steps that are compared, in seconds.")]
Tolerance = Annotated[
    float,
    option(
        METHOD, "Seconds that the starts of two bouts may lie apart; spans that differ for less are borders, not disagreements."
    ),
]
CopyPackets = Annotated[
    bool,
    option(METHOD, "Copy without encoding: quick and without loss, but cuts begin at the key frame before; the shift is told."),
]
Padding = Annotated[float, option(METHOD, "Seconds that are cut along before and after each bout.")]
AboveScore = Annotated[float, option(METHOD, "Only bouts of this score or more, 0 to 1; what people labelled has 1.")]
OnlyLabels = Annotated[list[str], option(METHOD, "Only bouts of this label; may be given several times.")]
LiveWindow = Annotated[
    float,
    option(METHOD, "Seconds that a label is based on.", "half the usual length of the training clips, as of a timeline"),
]
LiveThreshold = Annotated[float, option(METHOD, "Probability that an action must reach to start.")]
LiveMinDuration = Annotated[float, option(METHOD, "Seconds that a change must last before it counts.")]
Realtime = Annotated[bool, option(INPUT, "Read a file or pipe at the pace of its time stamps.")]
SourceTimeout = Annotated[float, option(INPUT, "Seconds without a picture after which a source counts as lost.")]
Reconnect = Annotated[float, option(INPUT, "Seconds for which a lost network source is tried again; with 0 its end is the end.")]
WatchFor = Annotated[str | float, option(INPUT, "Seconds of stream after which watching ends, or a time such as 10m.")]
Int8 = Annotated[bool, option(METHOD, "Make an int8 backbone (openvino only), and measure what it costs in accuracy.")]
MaxDrop = Annotated[float, option(METHOD, "By how much top-1 may fall with --int8, 0 to 1; beyond it nothing is written.")]
BackboneOnly = Annotated[bool, option(METHOD, "Write a backbone alone, as a graph that --backbone FILE takes everywhere.")]
CheckClips = Annotated[
    list[AnyPath],
    option(
        METHOD,
        "Clips to compare answers on: videos, folders, patterns or a CSV; given several times for several. "
        "Without it: clips recorded in the run.",
    ),
]
RetryFailed = Annotated[bool, option(METHOD, "Try videos again that could not be read the last time.")]
CacheAction = Annotated[
    Literal["ls", "verify", "prune"],
    option(
        METHOD,
        "ls: what is there, by spec; verify: check every block's checksum and remove damaged ones (made again when needed); "
        "prune: remove leftovers of killed runs, features of other extractor versions, and with --older-than what is old.",
    ),
]
OlderThan = Annotated[float, option(METHOD, "Days since a feature file was last written, for prune.")]

OpenBrowser = Annotated[bool, option(SERVER, "Open the page in a browser.")]
Host = Annotated[str, option(SERVER, "Address to listen on; any other than this machine's own (127.0.0.1) needs a token.")]
Port = Annotated[int, option(SERVER, "Port to listen on; 0 takes a free one.")]
Token = Annotated[
    str,
    option(
        SERVER,
        "What visitors must present, 16 characters or more; better given as $GERUND_TOKEN, which other users of the machine "
        "cannot see.",
    ),
]
MaxUpload = Annotated[str, option(SERVER, "Largest file that is taken, like 512MB or 2GB.")]
MaxDuration = Annotated[str, option(SERVER, "Longest video that is taken, like 90s, 15min or 2h.")]
QueueLength = Annotated[int, option(SERVER, "Requests and jobs that may wait; others are told to come back later.")]
Keep = Annotated[str, option(SERVER, "How long finished jobs, with their videos, are kept.")]

ProjectFolder = Annotated[AnyPath, option(OUTPUT, "Folder for labels and model.", "FOLDER, or if need be one in ~/gerund")]
RunFolder = Annotated[AnyPath, option(OUTPUT, "Run folder.", "the next free runs/train, runs/train-2 ...")]
RunsFolder = Annotated[AnyPath, option(OUTPUT, "Folder that keeps the run folders; without, they are thrown away.")]
EncoderFolder = Annotated[AnyPath, option(OUTPUT, "Folder for the encoder.", "the next free runs/pretrain, runs/pretrain-2 ...")]
BestRun = Annotated[AnyPath, option(OUTPUT, "Run folder for the winner, trained on all clips but given test clips.")]
Bundle = Annotated[bool, option(OUTPUT, "Put the backbone's weights into the model folder.", USUAL.bundle)]
Loggers = Annotated[Literal["tensorboard"], option(OUTPUT, "tensorboard: write curves for TensorBoard into the run folder.")]
ManifestFile = Annotated[AnyPath, option(OUTPUT, "CSV manifest to write.")]
SplitFile = Annotated[AnyPath, option(OUTPUT, "CSV manifest to write; with folds, the number is added to its name.")]
FixedManifest = Annotated[AnyPath, option(OUTPUT, "CSV for the clips whose files have no problem, one of several copies.")]
DisagreementsFile = Annotated[
    AnyPath,
    option(OUTPUT, "CSV for the spans with different labels: each twice, as suggested by either side, to be labelled again."),
]
CutFolder = Annotated[AnyPath, option(OUTPUT, "Folder for the files: a folder in it for each label, and clips.csv to train on.")]
Reel = Annotated[
    bool, option(OUTPUT, "In place of single files one film per label, its bouts one after the other, without sound.")
]
Grid = Annotated[
    bool, option(OUTPUT, "In place of single files one film per label, up to 25 bouts side by side: a class at a glance.")
]
LosslessCut = Annotated[AnyPath, option(OUTPUT, "Write a project of LosslessCut (.llc), to lie beside the video.")]
Edl = Annotated[AnyPath, option(OUTPUT, "Write an edit decision list (.edl, CMX 3600).")]
CutList = Annotated[AnyPath, option(OUTPUT, "Write start, end and label of each bout as LosslessCut's .csv.")]
HtmlReport = Annotated[AnyPath, option(OUTPUT, "File for a report that opens in any browser.")]
FramesFolder = Annotated[AnyPath, option(OUTPUT, "Folder for the images.")]
FramesRate = Annotated[float | Literal["native"], option(OUTPUT, "Frames per second that are written, or native for all.")]
ShortSide = Annotated[int, option(OUTPUT, "Short side of the images in pixels.", "the video's own")]
DownloadFolder = Annotated[AnyPath, option(OUTPUT, "Where it goes; made if needed.")]
PackedFolder = Annotated[AnyPath, option(OUTPUT, "Folder for the shards, one sub-folder for each setting of extraction.")]
ExportFolder = Annotated[AnyPath, option(OUTPUT, "Folder to write, new or empty; with --backbone-only a file .onnx or .xml.")]
ExportFormat = Annotated[
    Literal["onnx", "openvino", "torch", "gerund"],
    option(OUTPUT, "onnx, openvino, torch (torch.export), or gerund: a model folder of today, made of one of before."),
]
Repository = Annotated[str, option(OUTPUT, "USER/MODEL; made if it is not there.")]
Private = Annotated[bool, option(OUTPUT, "Make it visible to you only.")]
SaveVideo = Annotated[
    AnyPath, option(OUTPUT, "Write the video with its answer drawn in, as .mp4, .gif or .webp; of several clips, a folder.")
]
ExplainPicture = Annotated[
    AnyPath,
    option(
        OUTPUT, "Write a picture of what the answer rests on, when and where in the frame; of several clips, a folder of them."
    ),
]
RenderedFile = Annotated[AnyPath, option(OUTPUT, "File to write: .mp4, .mov, .mkv, .gif or .webp; of several videos, a folder.")]
Srt = Annotated[AnyPath, option(OUTPUT, "Write SubRip subtitles (.srt).")]
Vtt = Annotated[AnyPath, option(OUTPUT, "Write WebVTT subtitles (.vtt).")]
ActivityNet = Annotated[AnyPath, option(OUTPUT, "Write an ActivityNet database (.json).")]
Elan = Annotated[AnyPath, option(OUTPUT, "Write an ELAN document (.eaf); scores are in a tier below.")]
PerFrame = Annotated[AnyPath, option(OUTPUT, "Write a table with a row per picture and 0 or 1 per label (.csv).")]
PerStep = Annotated[AnyPath, option(OUTPUT, "Write a table with a row per time step and a probability per label (.csv).")]
Boris = Annotated[
    AnyPath, option(OUTPUT, "Write a table of events for BORIS (.tsv or .csv), or a project of all videos (.boris).")
]
Plot = Annotated[AnyPath, option(OUTPUT, "Draw thumbnails, segments and probabilities (.png, .jpg, .svg or .pdf).")]
StatsPlot = Annotated[AnyPath, option(OUTPUT, "Draw the ethogram and the bars as a figure (.png, .jpg, .svg or .pdf).")]
RecordFile = Annotated[AnyPath, option(OUTPUT, "Write what was seen, with the answers drawn in, as .mp4, .mov or .mkv.")]
ShowWindow = Annotated[bool, option(OUTPUT, "Open a window with the picture.")]

CacheFolder = Annotated[
    AnyPath,
    option(
        MACHINE,
        "Folder for features (what the backbone saw of each video); with --ray on storage that all machines share, or a URL.",
        "$GERUND_CACHE, or ~/.cache/gerund",
    ),
]
PackedFirst = Annotated[AnyPath, option(MACHINE, "Folder of packed features to look into first (gerund pack).")]
Device = Annotated[str, option(MACHINE, "cpu, cuda, mps or auto.", USUAL.device)]
Devices = Annotated[
    int,
    option(
        MACHINE,
        "Processes per machine that train together, each on its own GPU; started by torchrun, which says how many, or srun.",
        "1, or as torchrun has started them",
    ),
]
Nodes = Annotated[int, option(MACHINE, "Machines that train together.", "1, or as torchrun has started them")]
Workers = Annotated[int, option(MACHINE, "Decoding processes on a machine.", "half the processor's cores")]
CompareWorkers = Annotated[
    int, option(MACHINE, "Processes: as many decode, or on a CPU train heads side by side.", "as many as are of use")
]
WritingWorkers = Annotated[int, option(MACHINE, "Decoding or writing processes.", "one per core")]
RayAddress = Annotated[
    str,
    option(
        MACHINE,
        "Work on a Ray cluster: its address, or auto for the one this machine is in (or a new one of this machine alone).",
    ),
]
Actors = Annotated[int, option(MACHINE, "Workers of the cluster, each with one backbone.", "one for each machine or GPU")]
ActorGpus = Annotated[float, option(MACHINE, "GPUs of a worker, may be a fraction.", "1 where the cluster has GPUs")]
