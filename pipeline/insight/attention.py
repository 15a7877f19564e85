"""Maps of what spoke for a class, place by place."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import InputError, one_of
from pipeline.insight.covering import occlusion
from pipeline.insight.taps import at, last_map
from pipeline.training.module import Classifier

METHODS = ("auto", "cam", "grad_cam", "occlusion")


@dataclass(frozen=True)
class ClassMaps:
    """One map for each image, [B, H, W], at the resolution of `layer` ("": that of the image).

    cam: what each place adds to the logit, of either sign; their mean is the logit less its bias. grad_cam: at least 0,
    of no unit, of the logit less the mean of all logits. occlusion: the probability that the class loses where it
    is covered, of either sign.
    """

    values: Tensor  # [B, H, W]
    method: str
    layer: str

    def upsampled(self, side: int) -> Tensor:
        """[B, side, side], bilinear."""
        return F.interpolate(self.values[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]

    def silent(self) -> Tensor:
        """bool [B]: whether nothing in the image speaks for the class."""
        return (self.values <= 0).flatten(1).all(1)


def class_maps(module: Classifier, x_BCHW: Tensor, classes_B: Tensor, method: str = "auto") -> ClassMaps:
    """What in each uint8 image [B, C, H, W] speaks for its class, by a network in eval mode.

    auto: class activation maps (Zhou et al. 2016) where the logits are the class layer of the last map's means, which
    is seen by its numbers; else Grad-CAM (Selvaraju et al. 2017) at that map; occlusion (Zeiler and Fergus 2014) where
    the network has none.

    Raises:
        InputError: a method that the network cannot be asked by.
    """
    one_of("method", method, METHODS)
    layer = last_map(module, x_BCHW)
    if method == "occlusion" or (method == "auto" and layer is None):
        return ClassMaps(occlusion(module, x_BCHW, classes_B), "occlusion", "")
    if layer is None:
        raise InputError(f"method={method}: no layer of this network has places. Use method=occlusion.")
    map_BCHW, logits_BK = at(module, layer, x_BCHW)
    weights_KC = _weights_of_means(module.network, map_BCHW, logits_BK)
    if weights_KC is not None and method != "grad_cam":
        values = torch.einsum("bchw,bc->bhw", map_BCHW.detach(), weights_KC[classes_B])
        return ClassMaps(values.detach(), "cam", layer)
    if method == "cam":
        raise InputError(
            "method=cam: the class layer of this network does not read the means of its last map, as it does with "
            "head=gap and no dense layer. Use method=grad_cam or occlusion."
        )
    # What the class leads by: on what all logits have in common no answer depends. By the logit itself, not one place
    # in 200 digits spoke for its class, as all of a flattened network's logits fall with every filter.
    lead_B = logits_BK.gather(1, classes_B[:, None])[:, 0] - logits_BK.mean(1)
    (slope_BCHW,) = torch.autograd.grad(lead_B.sum(), map_BCHW)
    values = torch.einsum("bchw,bc->bhw", map_BCHW.detach(), slope_BCHW.mean((2, 3))).relu()
    return ClassMaps(values, "grad_cam", layer)


def _weights_of_means(network: nn.Module, map_BCHW: Tensor, logits_BK: Tensor) -> Tensor | None:
    """The class layer's weights [classes, C] where it reads the means of the map, as far as numbers tell."""
    linear = [one for one in network.modules() if isinstance(one, nn.Linear)][-1:]
    if not linear or (linear[0].out_features, linear[0].in_features) != (logits_BK.shape[1], map_BCHW.shape[1]):
        return None
    with torch.no_grad():
        close = torch.allclose(linear[0](map_BCHW.mean((2, 3))), logits_BK, rtol=1e-3, atol=1e-3)
    return linear[0].weight.detach() if close else None
