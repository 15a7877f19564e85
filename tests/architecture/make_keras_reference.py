"""Writes the reference that tests/architecture/test_keras_reference.py compares with, from Keras on TensorFlow.

Not part of the tests: TensorFlow is no dependency of the project. To write the files again, from the repository root:

    python3 -m venv /tmp/keras_env
    /tmp/keras_env/bin/pip install tensorflow-cpu keras
    /tmp/keras_env/bin/python tests/architecture/make_keras_reference.py

Written with keras 3.15.1, tensorflow-cpu 2.21.0 and numpy 2.4.6 on Python 3.11. Four files are written here:

- keras_reference.json.gz: 300 random stacks. Each has `input_shape` [C, H, W], the `layers` list of the project,
  and what Keras made of it: `output_shapes` ([C, H, W] or [N], without the batch) and `params` per layer.
- keras_outputs.npz: what conv, max and average pooling give for 90 combinations of size, kernel, stride and padding.
  x_SIZE is [1, SIZE, SIZE, 2]; w_KERNEL [KERNEL, KERNEL, 2, 3]; b [3]; the outputs, channels last, are
  conv_SIZE_KERNEL_STRIDE_PADDING and the same with max and avg.
- keras_sequences.json.gz and keras_sequence_outputs.npz: the same in one dimension, by Keras's Embedding, Conv1D,
  MaxPooling1D and so on. Of the stacks `input_shape` is [tokens, 1, T] and output shapes are [C, 1, T] or [N]; of the
  outputs x_SIZE is [1, SIZE, 2], w_KERNEL [KERNEL, 2, 3].
"""

import gzip
import json
import random
from pathlib import Path

import keras
import numpy as np
from keras import layers as kl

HERE = Path(__file__).parent
SIZES, KERNELS, STRIDES, PADDINGS = (5, 8, 11), (1, 2, 3, 4, 5), (1, 2, 3), ("same", "valid")


def random_stack(rng: random.Random, is_sequence: bool = False) -> tuple[list[int], list[dict]]:
    """A stack that fits its input: kernels 1..7, strides 1..3, both paddings, 8 to 64 pixels, any head or none."""
    stack: list[dict] = []
    if is_sequence:
        size = rng.randint(8, 64)
        shape = [rng.randint(2, 300), 1, size]
        stack.append({"embedding": {"size": rng.randint(1, 24)}})
    else:
        shape = [rng.choice([1, 3]), rng.randint(8, 64), rng.randint(8, 64)]
        size = min(shape[1:])
    for _ in range(rng.randint(1, 7)):
        kind = rng.choice(["conv", "conv", "pool", "activation"])
        if kind == "activation":
            stack.append({"activation": "relu"})
            continue
        kernel, stride, padding = rng.randint(1, 7), rng.randint(1, 3), rng.choice(PADDINGS)
        if padding == "valid" and kernel > size:
            padding = "same"
        size = -(-size // stride) if padding == "same" else -(-(size - kernel + 1) // stride)
        if kind == "conv":
            options = {"filters": rng.randint(1, 24), "kernel_size": kernel, "stride": stride, "padding": padding}
            stack.append({"conv": options})
        else:
            options = {"type": rng.choice(["max", "avg"]), "size": kernel, "stride": stride, "padding": padding}
            stack.append({"pool": options})
    if rng.random() < 0.9:
        stack.append(rng.choice([{"flatten": {}}, {"gap": {}}]))
        if rng.random() < 0.5:
            stack += [{"dense": {"units": rng.randint(1, 50)}}, {"activation": "relu"}]
        stack.append({"dense": {"units": rng.randint(2, 20)}})
    return shape, stack


def keras_layer(kind: str, options: dict, tokens: int | None = None) -> keras.Layer:
    """The Keras layer of one entry of a list; with `tokens`, of one that goes along a sequence."""
    if kind == "embedding":
        return kl.Embedding(tokens, options["size"])
    if kind == "conv":
        conv = kl.Conv1D if tokens else kl.Conv2D
        return conv(options["filters"], options["kernel_size"], options["stride"], options["padding"])
    if kind == "pool":
        most, mean = (kl.MaxPooling1D, kl.AveragePooling1D) if tokens else (kl.MaxPooling2D, kl.AveragePooling2D)
        pool = most if options["type"] == "max" else mean
        return pool(options["size"], options["stride"], options["padding"])
    if kind == "activation":
        return kl.ReLU()
    if kind == "dense":
        return kl.Dense(options["units"])
    if kind == "flatten":
        return kl.Flatten()
    return kl.GlobalAveragePooling1D() if tokens else kl.GlobalAveragePooling2D()


def stacks() -> list[dict]:
    """300 stacks with Keras's shapes and counts."""
    rng = random.Random(20)
    cases = []
    while len(cases) < 300:
        (channels, height, width), stack = random_stack(rng)
        model = keras.Sequential([keras.Input((height, width, channels))])
        shapes, params = [], []
        for layer in stack:
            ((kind, options),) = layer.items()
            model.add(keras_layer(kind, options))
            shape = list(model.layers[-1].output.shape[1:])
            shapes.append([shape[-1], *shape[:-1]])
            params.append(model.layers[-1].count_params())
        assert sum(params) == model.count_params()
        case = {"input_shape": [channels, height, width], "layers": stack, "output_shapes": shapes, "params": params}
        cases.append(case)
    return cases


def sequences() -> list[dict]:
    """300 stacks on sequences with Keras's shapes and counts."""
    rng = random.Random(16)
    cases = []
    while len(cases) < 300:
        shape, stack = random_stack(rng, is_sequence=True)
        tokens, _, places = shape
        model = keras.Sequential([keras.Input((places,), dtype="int32")])
        shapes, params = [], []
        for layer in stack:
            ((kind, options),) = layer.items()
            model.add(keras_layer(kind, options, tokens))
            found = list(model.layers[-1].output.shape[1:])
            shapes.append([found[1], 1, found[0]] if len(found) == 2 else found)
            params.append(model.layers[-1].count_params())
        assert sum(params) == model.count_params()
        cases.append({"input_shape": shape, "layers": stack, "output_shapes": shapes, "params": params})
    return cases


def outputs() -> dict[str, np.ndarray]:
    """What the three kinds of window give, by name."""
    rng = np.random.default_rng(20)
    arrays = {f"x_{size}": rng.normal(size=(1, size, size, 2)).astype("float32") for size in SIZES}
    arrays |= {f"w_{kernel}": rng.normal(size=(kernel, kernel, 2, 3)).astype("float32") for kernel in KERNELS}
    arrays["b"] = rng.normal(size=3).astype("float32")
    for size in SIZES:
        for kernel in KERNELS:
            for stride in STRIDES:
                for padding in PADDINGS:
                    name = f"{size}_{kernel}_{stride}_{padding}"
                    x = arrays[f"x_{size}"]
                    conv = keras.ops.conv(x, arrays[f"w_{kernel}"], stride, padding) + arrays["b"]
                    arrays[f"conv_{name}"] = np.asarray(conv)
                    arrays[f"max_{name}"] = np.asarray(keras.ops.max_pool(x, kernel, stride, padding))
                    arrays[f"avg_{name}"] = np.asarray(keras.ops.average_pool(x, kernel, stride, padding))
    return arrays


def sequence_outputs() -> dict[str, np.ndarray]:
    """What the three kinds of window give along a sequence, by name."""
    rng = np.random.default_rng(16)
    arrays = {f"x_{size}": rng.normal(size=(1, size, 2)).astype("float32") for size in SIZES}
    arrays |= {f"w_{kernel}": rng.normal(size=(kernel, 2, 3)).astype("float32") for kernel in KERNELS}
    arrays["b"] = rng.normal(size=3).astype("float32")
    for size in SIZES:
        for kernel in KERNELS:
            for stride in STRIDES:
                for padding in PADDINGS:
                    name = f"{size}_{kernel}_{stride}_{padding}"
                    x = arrays[f"x_{size}"]
                    conv = kl.Conv1D(3, kernel, stride, padding)
                    conv.build(x.shape)
                    conv.set_weights([arrays[f"w_{kernel}"], arrays["b"]])
                    arrays[f"conv_{name}"] = np.asarray(conv(x))
                    arrays[f"max_{name}"] = np.asarray(kl.MaxPooling1D(kernel, stride, padding)(x))
                    arrays[f"avg_{name}"] = np.asarray(kl.AveragePooling1D(kernel, stride, padding)(x))
    return arrays


def write(name: str, cases: list[dict]) -> None:
    """The cases as gzipped JSON, the same bytes for the same cases."""
    with gzip.GzipFile(HERE / name, "wb", mtime=0) as file:
        file.write(json.dumps(cases).encode())


if __name__ == "__main__":
    write("keras_reference.json.gz", stacks())
    np.savez_compressed(HERE / "keras_outputs.npz", **outputs())
    write("keras_sequences.json.gz", sequences())
    np.savez_compressed(HERE / "keras_sequence_outputs.npz", **sequence_outputs())
