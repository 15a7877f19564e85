"""What each word does, and that it depends on (seed, epoch, index) and on nothing else."""

import numpy as np
import pytest
import torch
from running import TINY

from pipeline import rundir
from pipeline.augmentation import WORDS, Augment, Augmentation, build
from pipeline.augmentation.albumentations import library
from pipeline.augmentation.apply import GREY
from pipeline.augmentation.draws import STREAMS, bits, uniform
from pipeline.data.images import LUMINANCE
from pipeline.data.loader import Shuffled, loader
from pipeline.errors import InputError

INDICES = np.arange(12)
SPELLED = {"GaussNoise": {"std_range": [0.1, 0.2], "p": 1}}


@pytest.fixture(params=[1, 3])
def images(request):
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, request.param), dtype=np.uint8)


class Fixed(Augment):
    """The words with numbers given by hand in the place of drawn ones."""

    def __init__(self, words, monkeypatch, **given):
        super().__init__(Augmentation(words), 0)

        def number(seed, epoch, indices, stream):
            return np.full(len(indices), given.get(stream, 0.5))  # 0.5 is the middle: no change

        monkeypatch.setattr("pipeline.augmentation.apply.uniform", number)

    def one(self, image):
        return self(np.asarray(image, np.uint8)[None, :, :, None], 0, np.arange(1))[0, :, :, 0].tolist()


# ---- the numbers


def test_draws_are_uniform_and_apart():
    u = uniform(1, 2, np.arange(20_000), "rotate")
    assert 0 <= u.min() < u.max() < 1
    counts = np.histogram(u, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001
    kinds = [(s, e, stream) for s in (0, 1) for e in (0, 1) for stream in STREAMS[:3]]
    rows = np.array([uniform(s, e, np.arange(5000), stream) for s, e, stream in kinds])
    apart = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(apart).max() < 0.07  # 5 standard errors
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.035


def test_a_draw_does_not_depend_on_what_is_drawn_beside_it():
    whole = bits(7, 3, np.arange(100), "flip")
    assert np.array_equal(bits(7, 3, np.array([42, 5]), "flip"), whole[[42, 5]])
    assert len(set(whole.tolist())) == 100


def test_the_draws_are_these():
    """Other numbers would be other runs under the same key."""
    assert bits(0, 0, np.arange(2), "rotate").tolist() == [2391539541053276776, 7108066972471032027]


# ---- the words

# Those of text, which is no uint8, have tests of their own.
SEEN = [word for word in WORDS if word not in ("word_dropout", "swap")]


@pytest.mark.parametrize("words", [[], *[[word] for word in SEEN], list(SEEN)])
def test_strength_0_changes_nothing(words):
    assert build(Augmentation(words, strength=0), 0) is None


@pytest.mark.parametrize("word", SEEN)
def test_each_word_changes_images_within_uint8(images, word):
    x = Augment(Augmentation([word]), 0)(images, 0, INDICES)
    assert (x.shape, x.dtype) == (images.shape, np.uint8)
    changed = (x != images).any(axis=(1, 2, 3))
    some = ("flip", "noise", "time_shift", "frequency_shift", "time_mask", "frequency_mask")  # by nothing, now and then
    assert changed.sum() == 12 if word not in some else 0 < changed.sum() < 12


@pytest.mark.parametrize("word", SEEN)
def test_little_strength_changes_little(images, word):
    """Not so flip: it mirrors rarely, but whole images."""
    near, far = (Augment(Augmentation([word], strength=s), 0)(images, 0, INDICES) for s in (0.01, 2))
    distance = [np.abs(x.astype(int) - images).mean() for x in (near, far)]
    assert distance[0] < 0.1 * distance[1]


def test_a_turn_by_90_degrees_by_hand(monkeypatch):
    monkeypatch.setattr("pipeline.augmentation.apply.ROTATE", 90.0)
    turn = Fixed(["rotate"], monkeypatch, rotate=1.0)  # 2 x 1 - 1 = 1: all the way, counterclockwise
    assert turn.one([[1, 2], [3, 4]]) == [[2, 4], [1, 3]]
    assert turn.one(np.arange(9).reshape(3, 3)) == np.rot90(np.arange(9).reshape(3, 3)).tolist()


def test_a_move_by_a_fifth_of_five_pixels_by_hand(monkeypatch):
    right = Fixed(["translate"], monkeypatch, translate_x=1.0)
    assert right.one(np.arange(25).reshape(5, 5) + 1)[:2] == [[0, 1, 2, 3, 4], [0, 6, 7, 8, 9]]
    up = Fixed(["translate"], monkeypatch, translate_y=0.0)
    assert up.one(np.arange(25).reshape(5, 5) + 1)[3:] == [[21, 22, 23, 24, 25], [0] * 5]


def test_reflect_mirrors_at_the_edge(monkeypatch):
    right = Fixed(["translate"], monkeypatch, translate_x=1.0)
    right.config.border = "reflect"
    assert right.one(np.arange(25).reshape(5, 5) + 1)[0] == [2, 1, 2, 3, 4]


def test_twice_the_size_by_hand(monkeypatch):
    monkeypatch.setattr("pipeline.augmentation.apply.SCALE", 2.0)
    grow = Fixed(["scale"], monkeypatch, scale=1.0)
    image = np.zeros((3, 3))
    image[1, 1] = 80
    # Neighbours lie half a pixel apart in the original: 1/2 of the middle's value beside it, 1/4 at the corners.
    assert grow.one(image) == [[20, 40, 20], [40, 80, 40], [20, 40, 20]]


def test_flip_mirrors_half_of_them(images, monkeypatch):
    many = np.arange(4000)
    m = Augment(Augmentation(["flip"]), 0).matrices((16, 16), 0, many)
    assert 1900 < (m[:, 0, 0] < 0).sum() < 2100
    flip = Fixed(["flip"], monkeypatch, flip=0.49)
    assert flip.one([[1, 2], [3, 4]]) == [[2, 1], [4, 3]]


def test_cutout_blackens_a_square_of_half_the_side(images):
    x = Augment(Augmentation(["cutout"]), 0)(np.full_like(images, 9), 0, INDICES)
    assert ((x == 0).all(axis=3).sum(axis=(1, 2)) == 64).all()
    rows, columns = (x == 0).any(axis=(2, 3)).sum(axis=1), (x == 0).any(axis=(1, 3)).sum(axis=1)
    assert (rows == 8).all()
    assert (columns == 8).all()


def test_colour_by_hand(monkeypatch):
    assert Fixed(["colour"], monkeypatch, brightness=1.0).one([[100, 250]]) == [[120, 255]]  # times 1.2
    assert Fixed(["colour"], monkeypatch, contrast=0.0).one([[100, 200]]) == [[110, 190]]  # 150 -+ 0.8 x 50


def test_grey_is_what_a_grey_network_is_given():
    assert np.array_equal(GREY, np.float32(LUMINANCE))


# ---- albumentations means the same


@pytest.mark.parametrize("border", ["constant", "reflect"])
def test_geometry_is_albumentations_affine_to_the_last_bit(images, border, monkeypatch):
    import cv2

    A = library()

    augment = Augment(Augmentation(["rotate", "scale", "translate"], border=border), 5)
    ours = augment(images, 2, INDICES)

    def drawn(stream):
        return 2 * uniform(5, 2, INDICES, stream) - 1

    for i in INDICES:
        angle, size = 30 * drawn("rotate")[i], 1.25 ** drawn("scale")[i]
        x, y = (0.2 * 16 * drawn(f"translate_{axis}")[i] for axis in "xy")
        theirs = A.Affine(
            rotate=(angle, angle),
            scale=(size, size),
            border_mode={"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}[border],
            p=1,
        )
        monkeypatch.setattr(theirs, "_get_translate_params", lambda shape, x=x, y=y: {"x": x, "y": y})
        assert np.array_equal(theirs(image=images[i])["image"], ours[i])


@pytest.mark.parametrize("stream", ["brightness", "contrast", "saturation"])
def test_colour_is_albumentations_colour_jitter(stream, monkeypatch):
    A = library()
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    factor = {"saturation": 1.4}.get(stream, 1.2)
    ranges = {name: (1, 1) for name in ("brightness", "contrast", "saturation")} | {stream: (factor, factor)}
    theirs = A.ColorJitter(**ranges, hue=(0, 0), p=1)(image=image)["image"]
    ours = Fixed(["colour"], monkeypatch, **{stream: 1.0})(image[None], 0, np.arange(1))[0]
    assert np.abs(ours.astype(int) - theirs).max() <= 1  # it rounds the mean and the grey


# ---- what is spelled out


def test_a_misspelt_argument_is_an_error():
    with pytest.raises(InputError, match=r"std_rang.*not valid for transform GaussNoise"):
        Augmentation([{"GaussNoise": {"std_rang": [0.1, 0.2]}}])


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({"GausNoise": {}}, "Did you mean 'GaussNoise'"),
        ({"GaussNoise": {"std_range": [5, 6]}}, "std_range"),
        ({"GaussNoise": 3}, "arguments by name"),
        ({"Compose": {}}, "no such transform"),
        ({"os.system": {}}, "no such transform"),
        ({"GaussNoise": {}, "Blur": {}}, "one transform"),
        ("rotat", "Did you mean 'rotate'"),
        (3, "one transform"),
    ],
)
def test_what_is_no_transform_is_refused(one, said):
    with pytest.raises(InputError, match=said) as error:
        Augmentation([one])
    assert str(error.value).startswith("augmentation.transforms=")


def test_what_is_spelled_out_is_applied_reproducibly(images):
    a, b = (Augment(Augmentation([SPELLED]), 0) for _ in range(2))
    x = a(images, 0, INDICES)
    assert (x != images).any(axis=(1, 2, 3)).all()
    assert np.array_equal(b(images[[7]], 0, INDICES[[7]])[0], x[7])  # alone, in another process's place
    assert not np.array_equal(a(images, 1, INDICES), x)


def test_a_transform_that_changes_the_size_is_an_error(images):
    with pytest.raises(InputError, match="keeps shape and type"):
        Augment(Augmentation([{"Resize": {"height": 4, "width": 4}}]), 0)(images, 0, INDICES)


# ---- whoever does it


def epochs_of(images, num_workers=0, rank=0, world=1, epochs=2):
    """{(epoch, index): image} as the loader shows them."""
    many = np.concatenate([images] * 4)
    sampler = Shuffled(np.arange(len(many)), 8, 3, rank, world)
    augment = build(Augmentation([*SEEN, SPELLED]), 3)
    batches = loader(many, np.zeros(len(many), int), sampler, num_workers, augment)
    found = {}
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)  # as Lightning does
        for x_BCHW, _, ids in batches:
            found |= {(epoch, int(i)): x.numpy().copy() for i, x in zip(ids, x_BCHW, strict=True)}
    return found


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def alone():
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), dtype=np.uint8)
    return images, epochs_of(images)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_show_the_same_images(alone, num_workers):
    images, expected = alone
    assert same(epochs_of(images, num_workers), expected)


def test_two_ranks_show_the_same_images_together(alone):
    images, expected = alone
    shares = [epochs_of(images, rank, rank, 2) for rank in (0, 1)]  # with another number of workers each
    assert not set(shares[0]) & set(shares[1])
    assert same(shares[0] | shares[1], expected)


def test_epochs_differ(alone):
    _, found = alone
    both = {i for epoch, i in found if epoch == 0} & {i for epoch, i in found if epoch == 1}
    assert len(both) == 48
    assert not any(np.array_equal(found[0, i], found[1, i]) for i in both)


def test_a_batch_stays_channels_last(alone):
    images, _ = alone
    batches = loader(images, np.zeros(12, int), Shuffled(np.arange(12), 4, 0), 0, build(Augmentation(["rotate"]), 0))
    x_BCHW, _, _ = next(iter(batches))
    assert (x_BCHW.shape, x_BCHW.dtype) == ((4, 1, 16, 16), torch.uint8)
    assert x_BCHW.is_contiguous(memory_format=torch.channels_last)


# ---- in a run


def key(run):
    return rundir.read_json(run / "run.json")["key"]


def test_a_run_trains_on_it_whatever_the_workers(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=2") + " augmentation=affine"
    for name, more in {
        "a": "",
        "b": "data.num_workers=2",
        "c": "augmentation.strength=0.5",
        "d": "augmentation=none",
    }.items():
        assert command("train", f"{line} dir={name} {more}").code == 0
    states = {
        name: torch.load(workdir / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in "abcd"
    }
    weight = {name: torch.cat([v.flatten() for v in state.values()]) for name, state in states.items()}
    assert torch.equal(weight["a"], weight["b"])
    assert not torch.equal(weight["a"], weight["c"])
    assert not torch.equal(weight["a"], weight["d"])
    keys = {name: key(workdir / name) for name in "abcd"}
    assert keys["a"] == keys["b"]
    assert len(set(keys.values())) == 3


def test_mistakes_on_the_command_line(command):
    for line, said in {
        "augmentation=rotat": "augmentation=rotat: no such augmentation",
        "augmentation.strength=5": "augmentation.strength=5",
        "augmentation.border=black": "must be one of constant, reflect",
        "augmentation.transforms=[{Blur:{blur_limt:3}}]": "blur_limt",
    }.items():
        done = command("train", line)
        assert done.code == 2
        assert said in done.err
        assert done.err.count("\n") == 1


def test_levels_that_differ_by_augmentation_alone_are_no_duplicates(command):
    done = command("plan", "-m augmentation=none,rotate seed=0 tracking=none output=json")
    assert done.code == 0, done.err
    assert done.document["duplicates"] == []
    assert [arm["levels"] for arm in done.document["arms"]] == [{"augmentation": "none"}, {"augmentation": "rotate"}]
