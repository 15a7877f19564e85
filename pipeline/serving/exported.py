"""A trained network as one graph that others can run: uint8 images in, probabilities out, normalisation inside."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline import folders
from pipeline.architecture import layers
from pipeline.data.images import normalise
from pipeline.errors import InputError
from pipeline.serving.opened import Opened

BATCHES = (1, 2, 7)  # an export is tried with: a graph that was traced for one size only would not take them
CLOSE = 1e-5  # of probabilities
INPUT, OUTPUT = "images", "probabilities"


class Probabilities(nn.Module):
    """uint8 images [B, H, W, C], as they were prepared, in; float32 probabilities [B, classes] out."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self.network = opened.module.network
        self.register_buffer("mean", opened.module.mean.clone())
        self.register_buffer("std", opened.module.std.clone())
        self.eval()
        for weights in self.parameters():
            weights.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(normalise(images.permute(0, 3, 1, 2), self.mean, self.std)).softmax(1)


def example(opened: Opened, n: int = 2) -> np.ndarray:
    """[n, H, W, C] of noise. Two or more: of one, tracing makes a graph that takes no other number."""
    return opened.settings.data.kind.noise(np.random.default_rng(0), n, opened.input_shape)


def described(opened: Opened) -> dict[str, str]:
    """What whoever runs the graph has to know."""
    images, record = opened.settings.data, opened.record
    resized = f"resized by data.resize={images.resize} to {images.size}"
    made = resized if images.kind.pictured else f"{images.kind.noun}s as they were prepared"
    return {
        "classes": json.dumps(opened.classes, ensure_ascii=False),
        "input": f"{images.kind.dtype.__name__} [batch, height, width, channels], {made}",
        "run_key": record.key,
        "data": record.dataset.name,
        "data_digest": record.dataset.digest,
    }


@contextlib.contextmanager
def traceable() -> Iterator[None]:
    """Have a tracer see that batches are of any size, while the body traces a network.

    To it len() of a tensor is a number, and the graph of a locally connected layer takes batches of two alone. Said
    there by shape[0], it would change the key of every run, and no number.
    """
    layers.len = lambda x: x.shape[0] if isinstance(x, torch.Tensor) else len(x)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del layers.len  # type: ignore[attr-defined]


def difference(opened: Opened, run: Callable[[np.ndarray], np.ndarray]) -> float:
    """How far the probabilities that `run` gives of images are off at most, in batches of several sizes."""
    module, most = Probabilities(opened), 0.0
    for n in BATCHES:
        images = example(opened, n)
        with torch.inference_mode():
            ours = module(torch.from_numpy(images)).numpy()
        most = max(most, float(np.abs(ours - run(images)).max()))
    return most


def check_onnx() -> None:
    """Raise InputError where what ONNX needs is not installed."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise InputError(
                f"format=onnx: needs {name}, which is not installed: pip install 'convtrial[export]', "
                "or pip install onnx onnxscript onnxruntime."
            ) from None


def write_onnx(opened: Opened, path: Path) -> float:
    """Write the graph to one file, weights within, after it was tried. Returns how far it is off at most.

    Raises InputError where it cannot be exported, or gives other probabilities.
    """
    check_onnx()
    try:
        with quiet("torch.onnx", "torch.export", "onnxscript", "onnx_ir"), traceable():
            program = torch.onnx.export(
                Probabilities(opened),
                (torch.from_numpy(example(opened)),),
                dynamo=True,
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verify=True,
                verbose=False,
            )
            assert program is not None
            proto = program.model_proto
        for name, value in described(opened).items():
            proto.metadata_props.add(key=name, value=value)
        content = proto.SerializeToString()
        off = difference(opened, _run_onnx(content))
    except Exception as error:  # of dozens of passes over the graph
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"format=onnx: this network cannot be exported ({type(error).__name__}: {reason}).") from error
    if not off <= CLOSE:
        raise InputError(
            f"format=onnx: onnxruntime gives probabilities that are off by {off:.1e}; nothing was written."
        )
    with folders.replacing(path) as file:
        file.write(content)
    return off


def _run_onnx(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """An export tells each of its steps, and what it will do otherwise some day."""
    loud = [logging.getLogger(name) for name in loggers]
    levels = [one.level for one in loud]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for one in loud:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loud, levels, strict=True):
                one.setLevel(level)
