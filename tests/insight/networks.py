"""Networks whose weights are known, as a run would load them."""

import torch

from pipeline import architecture
from pipeline.training.module import Classifier


def classifier(spec, shape=(1, 4, 4), classes=2, seed=0, **weights):
    """A network of `spec` in eval mode that takes pixels as they are, /255; `weights` are set by name, _ for a dot."""
    torch.manual_seed(seed)
    network = architecture.build(spec, shape, classes)
    with torch.no_grad():
        for name, one in network.named_parameters():
            if (given := weights.get(name.replace(".", "_"))) is not None:
                one.copy_(torch.tensor(given, dtype=torch.float32).reshape(one.shape))
    return Classifier(network, torch.zeros(shape[0]), torch.ones(shape[0]), classes).eval()


GAP = {"layers": [{"conv": {"filters": 2, "kernel_size": 1}}, {"gap": {}}, {"dense": {}}]}
FLAT = {"layers": [{"conv": {"filters": 1, "kernel_size": 1}}, {"flatten": {}}, {"dense": {}}]}
