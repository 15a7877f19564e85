"""Maps of what spoke for a class, place by place."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.architecture.geometry import ReceptiveField
from pipeline.architecture.network import Network
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
    image_hw: tuple[int, int]
    field: ReceptiveField | None = None  # what a unit of `layer` sees; None where nobody knows

    def upsampled(self, side: int) -> Tensor:
        """[B, side, side], bilinear: each value at the middle of what its unit sees, the outermost ones on to the edge.

        Without padding these middles cover less than the image. Where nobody knows them, they are taken to cover it
        evenly, which is about what they do with same padding.
        """
        if self.field is None:
            return F.interpolate(self.values[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
        values = self.values
        for axis, start, pixels in zip((1, 2), self.field.starts, self.image_hw, strict=True):
            middle = start + (self.field.size - 1) / 2
            at_pixel = (torch.arange(side, device=values.device) + 0.5) * pixels / side - 0.5
            unit = ((at_pixel - middle) / self.field.jump).clamp(0, values.shape[axis] - 1)
            before = unit.floor().long()
            after = (before + 1).clamp(max=values.shape[axis] - 1)
            shape = [-1 if one == axis else 1 for one in range(3)]
            share = (unit - before).to(values.dtype).reshape(shape)
            values = torch.lerp(values.index_select(axis, before), values.index_select(axis, after), share)
        return values

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
    image_hw = (x_BCHW.shape[2], x_BCHW.shape[3])
    layer = last_map(module, x_BCHW)
    if method == "occlusion" or (method == "auto" and layer is None):
        return ClassMaps(occlusion(module, x_BCHW, classes_B), "occlusion", "", image_hw)
    if layer is None:
        raise InputError(f"method={method}: no layer of this network has places. Use method=occlusion.")
    map_BCHW, logits_BK = at(module, layer, x_BCHW)
    field = _field(module.network, layer)
    weights_KC = _weights_of_means(module.network, map_BCHW, logits_BK)
    if weights_KC is not None and method != "grad_cam":
        values = torch.einsum("bchw,bc->bhw", map_BCHW.detach(), weights_KC[classes_B])
        return ClassMaps(values.detach(), "cam", layer, image_hw, field)
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
    return ClassMaps(values, "grad_cam", layer, image_hw, field)


def _field(network: nn.Module, name: str) -> ReceptiveField | None:
    """What a unit sees behind a layer of one of our networks, whose layers follow each other."""
    seen = ReceptiveField()
    for layer in network.plan.layers if isinstance(network, Network) else ():
        seen = layer.field_behind(seen)
        if layer.name == name:
            return seen
    return None


def _weights_of_means(network: nn.Module, map_BCHW: Tensor, logits_BK: Tensor) -> Tensor | None:
    """The class layer's weights [classes, C] where it reads the means of the map, as far as numbers tell."""
    linear = [one for one in network.modules() if isinstance(one, nn.Linear)][-1:]
    if not linear or (linear[0].out_features, linear[0].in_features) != (logits_BK.shape[1], map_BCHW.shape[1]):
        return None
    with torch.no_grad():
        close = torch.allclose(linear[0](map_BCHW.mean((2, 3))), logits_BK, rtol=1e-3, atol=1e-3)
    return linear[0].weight.detach() if close else None
