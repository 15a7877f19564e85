"""The `loss` section: what training minimises. Validation and test report plain cross-entropy, whatever this says."""

from dataclasses import dataclass

from pipeline.errors import at_least, one_of

TYPES = ("cross_entropy", "focal")
WEIGHTS = ("none", "balanced")


@dataclass
class Loss:
    """Cross-entropy, or focal loss (Lin et al. 2017): examples that are right by far count less."""

    type: str = "cross_entropy"  # focal: examples that are right by far count less (Lin et al. 2017)
    gamma: float = 2.0  # focal only: a loss is multiplied by (1 - p)^gamma, p being the probability of the true class
    class_weights: str = "none"  # balanced: an example counts by how rare its class is in the training split

    def __post_init__(self) -> None:
        one_of("loss.type", self.type, TYPES)
        one_of("loss.class_weights", self.class_weights, WEIGHTS)
        at_least("loss.gamma", self.gamma, 0)

    @property
    def is_plain(self) -> bool:
        """Whether it is cross-entropy, each example counting the same."""
        return self.type == "cross_entropy" and self.class_weights == "none"
