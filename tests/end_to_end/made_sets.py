"""Small data sets of every format, drawn from a seed: a bright square whose place tells the class, in noise."""

import gzip
import struct

import numpy as np
from PIL import Image

CLASSES = 4


def images(count, size, channels, seed, classes=CLASSES):
    """uint8 images [count, size, size, channels] and their labels, every class in turn."""
    rng = np.random.default_rng(seed)
    x_NHWC = rng.integers(0, 160, (count, size, size, channels), np.uint8)
    labels = np.arange(count) % classes
    side = size // 2
    for image_HWC, label in zip(x_NHWC, labels, strict=True):
        row, column = label // 2 % 2 * side, label % 2 * side
        image_HWC[row : row + side - 1, column : column + side - 1] += 90
    return x_NHWC, labels


def idx(root):
    """The four files of the IDX family: 96 training and 40 test images of 28x28."""
    root.mkdir(parents=True)
    for part, count, seed in (("train", 96, 0), ("t10k", 40, 1)):
        x_NHWC, labels = images(count, 28, 1, seed)
        for name, array in (("images-idx3", x_NHWC[..., 0]), ("labels-idx1", labels.astype(np.uint8))):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (root / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))


def cifar10(root):
    """The six binary files: 100 training and 40 test images."""
    root.mkdir(parents=True)
    x_NHWC, labels = images(140, 32, 3, 2, 10)
    records = np.hstack([labels[:, None].astype(np.uint8), x_NHWC.transpose(0, 3, 1, 2).reshape(140, -1)])
    for number in range(5):
        (root / f"data_batch_{number + 1}.bin").write_bytes(records[20 * number : 20 * number + 20].tobytes())
    (root / "test_batch.bin").write_bytes(records[100:].tobytes())


def cifar100(root):
    """The two binary files: 300 training and 100 test images."""
    root.mkdir(parents=True)
    x_NHWC, labels = images(400, 32, 3, 3, 100)
    labels = np.repeat(labels[:, None].astype(np.uint8), 2, axis=1)  # a coarse and a fine one
    records = np.hstack([labels, x_NHWC.transpose(0, 3, 1, 2).reshape(400, -1)])
    (root / "train.bin").write_bytes(records[:300].tobytes())
    (root / "test.bin").write_bytes(records[300:].tobytes())


def npz(root):
    """One file with a test split of its own: 96 and 40 colour images of 20x20."""
    root.mkdir(parents=True)
    (x_train, y_train), (x_test, y_test) = images(96, 20, 3, 4), images(40, 20, 3, 5)
    np.savez(root / "set.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def image_folder(root):
    """A folder of PNGs for each class, 120 of 24x24 in all, with no split of their own."""
    for number, (image_HWC, label) in enumerate(zip(*images(120, 24, 3, 6), strict=True)):
        file = root / f"class{label}" / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_HWC).save(file)


def manifest(root):
    """120 PNGs of 24x24 and the CSV file that lists them, with a patient for every three."""
    root.mkdir(parents=True)
    rows = ["path,label,patient"]
    for number, (image_HWC, label) in enumerate(zip(*images(120, 24, 3, 7), strict=True)):
        Image.fromarray(image_HWC).save(root / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,class{label},{number // CLASSES // 3 * CLASSES + label}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")


MAKERS = {maker.__name__: maker for maker in (idx, cifar10, cifar100, npz, image_folder, manifest)}
