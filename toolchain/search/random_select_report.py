"""What best.json says of random selection: the networks that were drawn, and the means of their accuracies."""

from toolchain.files import Count, Document, Milliseconds, Share
from toolchain.training.mean_interval import MeanInterval


class RandomNetwork(Document):
    """A network that was drawn.

    Args:
        inherited_accuracy: on the hold-out with weights of the supernet.
        trained_accuracy: on the hold-out after a training alone; None where finalists are not trained.
        latency_ms: predicted; None where the block variants are not measured.
    """

    architecture: tuple[str, ...]
    inherited_accuracy: Share
    trained_accuracy: Share | None = None
    macs: Count
    latency_ms: Milliseconds | None = None


class RandomSelect(Document):
    """The networks, and the means of their accuracies.

    Args:
        trained: None where finalists are not trained, like `epochs`, those of each training.
    """

    networks: tuple[RandomNetwork, ...]
    inherited: MeanInterval
    trained: MeanInterval | None = None
    epochs: float | None = None
