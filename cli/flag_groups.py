"""Flags that several commands share, each with the flags that come with it."""

from pathlib import Path

from cli.flag import Flag

Values = list[str]

SPACE = (
    Flag(
        "space",
        "Search space, e.g. shufflenet_v2_quick:classes=37 or, of a model, model:torchvision:resnet18.",
        panel="Search space",
    ),
    Flag(
        "fixed_ops",
        "Search widths only, with the ops of this architecture or best.json.",
        panel="Search space",
    ),
    Flag("widths", "Mid-channel multipliers to choose from, e.g. 0.6-0.8-1.0.", panel="Search space"),
)
DATA = (
    Flag("data", "Data set: digits, fashion-mnist, folder:PATH or wds:SHARDS.", panel="Data"),
    Flag(
        "holdout_per_class",
        "Training images of each class held out to score candidates: a number, a share as 10%, or auto.",
        panel="Data",
    ),
    Flag("cache", "Keep decoded images of a folder for later epochs and commands: on or off.", panel="Data"),
)
LIMITS = (
    Flag(
        "search.latency",
        "Maximum latency of a batch, e.g. 17ms. Repeat the flag or give a range (13ms..22ms) for several budgets.",
        Values,
        panel="Limits",
    ),
    Flag("search.macs", "Maximum multiply-adds per image, e.g. 330M.", Values, panel="Limits"),
    Flag("search.params", "Maximum number of parameters, e.g. 3.4M.", Values, panel="Limits"),
    Flag("search.bitops", "Maximum MACs x weight bits x activation bits, e.g. 6.32Gi.", Values, panel="Limits"),
    Flag("search.weight_bits", "Maximum bits of packed weights, e.g. 27M.", Values, panel="Limits"),
)
DEVICE = Flag(
    "profile.device",
    "Device to measure on: an attached one (nastool devices lists them), ssh://user@host or cmd:COMMAND.",
    panel="Target",
)
DEVICES = Flag(
    "profile.devices",
    "Device to measure on: an attached one (nastool devices lists them), ssh://user@host or cmd:COMMAND. Repeat the "
    "flag for several.",
    Values,
    panel="Target",
    names="--device",
)
REMOTE = Flag("profile.device", "Also show this remote device: ssh://user@host or cmd:COMMAND.")
BACKEND = Flag("profile.backend", "Runtime to measure with, e.g. onnxruntime or tensorrt.", panel="Target")
BATCH = Flag("profile.batch", "Batch size that latencies are measured for.", int, panel="Target")
THREADS = Flag("profile.threads", "Number of threads of the measured runtime.", int, panel="Target")
PRECISION = Flag("profile.precision", "Precision that networks are timed in: fp32, fp16 or int8.", panel="Target")
DB = Flag("profile.db", "Latency table: a file, or postgresql+psycopg://user@host/database.", panel="Target")
ESTIMATE = Flag(
    "profile.estimate", "Estimate latency for a device that is not attached, from its peak rates.", bool, panel="Target"
)
TARGET_ID = Flag(
    "profile.target", "Use the recorded latencies of this target (an id from nastool db list).", panel="Target"
)
TARGET = (DEVICE, BACKEND, PRECISION, BATCH, THREADS, DB, ESTIMATE)
TARGETS = (DEVICES, *TARGET[1:])
RECORDED_TARGET = (*TARGET, TARGET_ID)
FILE_TARGET = (DEVICE, BACKEND, BATCH, THREADS, DB)  # the precision is the file's own
SUPERNET = (
    Flag(
        "train.recipe",
        "Training recipe: photos, quick, imagenet (the paper's) or finetune. Default: one that suits the data.",
        panel="Training",
    ),
    Flag("train.changes.epochs", "Number of passes over the training images.", float, panel="Training"),
)
STANDALONE = (
    Flag(
        "retrain.recipe",
        "Training recipe: photos, quick, imagenet (the paper's) or finetune. Default: one that suits the data.",
        panel="Training",
    ),
    Flag("retrain.changes.epochs", "Number of passes over the training images.", float, panel="Training"),
)
IMPORTANCE = Flag(
    "train.importance",
    "Which channels narrower blocks keep: magnitude (the largest weights) or taylor (those without which the loss on "
    "training images changes most).",
    panel="Training",
)
_PANEL = "Rivals of the paper"
RIVALS = (
    Flag(
        "train.architecture.cost",
        "Cost in the loss: macs, bitops, latency (needs nastool profile) or none.",
        panel=_PANEL,
    ),
    Flag("train.architecture.cost_weight", "Weight of the cost in the loss.", float, panel=_PANEL),
    Flag("train.architecture.cost_power", "Power of the logarithm of the cost (gumbel).", float, panel=_PANEL),
    Flag("train.architecture.temperature", "Temperature of the Gumbel softmax at the start.", float, panel=_PANEL),
    Flag("train.architecture.last_temperature", "Temperature at the end.", float, panel=_PANEL),
    Flag(
        "train.architecture.drop_rate",
        "Probability at the end that path-dropout drops all choices of a block.",
        float,
        panel=_PANEL,
    ),
    Flag(
        "train.architecture.lr",
        "Learning rate of architecture parameters.",
        float,
        panel=_PANEL,
        names="--architecture-lr",
    ),
    Flag(
        "train.architecture.images",
        "Share of the training images that architecture parameters learn from.",
        float,
        panel=_PANEL,
        names="--architecture-images",
    ),
    Flag(
        "train.architecture.start",
        "Share of the training before the first update of architecture parameters.",
        float,
        panel=_PANEL,
        names="--architecture-start",
    ),
)
RUNS = Flag("runs", "Folder of all runs.", Path, panel="Run")
RUN = (Flag("run", "Name of the run.", panel="Run"), RUNS)
TRACK = Flag("track", "Experiment tracker beside TensorBoard: mlflow.", panel="Run")
SEED = Flag("seed", "Seed of all random numbers.", int, panel="Run")
