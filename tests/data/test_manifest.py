"""Photos listed in a CSV file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import Done, refused
from test_image_folder import make

from pipeline.data import Data, prepare, split
from pipeline.data.raw import looks_like_split
from pipeline.errors import InputError


def settings(root: Path, **fields: object) -> Data:
    keys = {"manifest": "list.csv", "size": 8, "prepared_dir": str(root.parent / "prepared"), **fields}
    return Data(source="manifest", name="listed", root=str(root), **keys)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six photos of 6x4 pixels."""
    return make(tmp_path / "photos", *[f"images/{i}.png" for i in range(6)])


def write(root: Path, *lines: str) -> Path:
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root


def test_labels_splits_and_columns(root: Path) -> None:
    lines = [f"images/{i}.png,{'cat' if i % 2 else 'dog'},{'val' if i > 3 else 'train'},p{i // 3}" for i in range(6)]
    prepared = prepare(settings(write(root, "path,label,split,patient", *lines)), seed=0)
    assert prepared.classes == ["cat", "dog"]
    assert prepared.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert prepared.own_split is not None
    assert prepared.own_split.tolist() == [0, 0, 0, 0, 2, 2]
    assert prepared.columns["patient"].tolist() == [0, 0, 0, 1, 1, 1]


def test_what_leads_out_of_the_folder_is_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = make(root.parent / "secret", "0.png")
    (root / "link.png").symlink_to(outside / "0.png")
    lines = [f"images/{i}.png,{i % 2}" for i in range(6)]
    bad = [
        "../secret/0.png",
        f"{outside}/0.png",
        "images/../../secret/0.png",
        "/etc/passwd",
        "/dev/zero",
        "link.png",
        "images/missing.png",
        "images",
        "",
        "images/../images/0.png",
    ]
    write(root, "path,label", *lines, *(f"{path},1" for path in bad), "images/5.png,")
    opened = []
    real_open = open
    monkeypatch.setattr(
        "builtins.open", lambda path, *rest, **named: opened.append(path) or real_open(path, *rest, **named)
    )
    found = {one["path"]: one["reason"] for one in prepare(settings(root), seed=0).manifest["quarantined"]}
    assert not any("secret" in str(path) or str(path).startswith(("/etc", "/dev")) for path in opened)
    for i, path in enumerate(bad[:5]):
        assert found[path] == f"leads out of data.root (row {i + 8} of list.csv)"
    assert found["link.png"] == "a link that leads out of data.root"
    assert found["images/missing.png"] == "no such file"
    assert found["images"] == "a folder"
    assert found[""].startswith("no path")
    assert found["images/../images/0.png"] == "named before, in row 2, with another label (row 17 of list.csv)"
    assert found["images/5.png"].startswith("no label")
    assert len(found) == 11


def test_a_file_named_twice_counts_once_and_says_what_differs(root: Path) -> None:
    lines = [f"images/{i}.png,{i % 2},{'test' if i > 3 else 'train'}" for i in range(6)]
    twice = ["./images/0.png,0,train", "images//1.png,0,train", "./images/2.png,0,test", "images/3.png,0,test"]
    prepared = prepare(settings(write(root, "path,label,split", *lines, *twice)), seed=0)
    assert len(prepared.labels) == 6
    assert prepared.paths == [f"images/{i}.png" for i in range(6)]
    assert [one["reason"].split(" (")[0] for one in prepared.manifest["quarantined"]] == [
        "named before, in row 2",
        "named before, in row 3, with another label",
        "named before, in row 4, with another split",
        "named before, in row 5, with another label and another split",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_of_other_names_and_other_separators(root: Path, separator: str) -> None:
    """As GTSRB has them, with the mark that spreadsheets put first; its own `label` is another column then."""
    head = ["Filename", "Width", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId", "Track", "label"]
    rows = [
        [f"images/{i}.png", "6", "0", "0", "6", "4", str(i % 2), f"t{i // 2}", "x, y" if separator != "," else "x"]
        for i in range(6)
    ]
    (root / "list.csv").write_text("\n".join(separator.join(row) for row in [head, *rows]), encoding="utf-8-sig")
    columns = {"path": "Filename", "label": "ClassId", "group": "Track"}
    columns |= dict(zip(("xmin", "ymin", "xmax", "ymax"), head[2:6], strict=True))
    prepared = prepare(settings(root, columns=columns, group="none"), seed=0)
    assert prepared.classes == ["0", "1"]
    assert prepared.labels.tolist() == [0, 1] * 3
    assert list(prepared.columns) == ["Width", "group", "label_"]
    assert prepared.boxes is not None
    assert not np.isnan(prepared.boxes).any()
    # The same file read otherwise is another set.
    other = prepare(settings(root, columns=columns | {"group": "Width"}, group="none"), seed=0)
    assert other.dir != prepared.dir
    assert list(other.columns) == ["group", "Track", "label_"]


def test_a_capital_is_no_other_name_and_a_split_by_another_name_is_told(root: Path, capsys) -> None:
    parts = ["train", "train", "train", "train", "test", "test"]
    write(root, "Path,LABEL,Split", *[f"images/{i}.png,{i % 2},{part}" for i, part in enumerate(parts)])
    prepared = prepare(settings(root), seed=0)
    assert prepared.own_split is not None
    assert prepared.own_split.tolist() == [0, 0, 0, 0, 2, 2]
    write(root, "path,label,subset", *[f"images/{i}.png,{i % 2},{part}" for i, part in enumerate(parts)])
    assert prepare(settings(root), seed=0).own_split is None
    assert "subset looks like a split; data.columns={split: subset} keeps it" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("values", "is_split"),
    [
        (["train", "val"], True),
        (["Training", "test", ""], True),
        (["train"], False),
        (["val", "test"], False),
        (["train", "test", "cat"], False),
    ],
)
def test_what_looks_like_a_split(values: list[str], is_split: bool) -> None:
    assert looks_like_split(values) == is_split


def test_columns_by_a_wrong_name(process: Callable[..., Done], root: Path) -> None:
    write(root, "Filename,ClassId", *[f"images/{i}.png,{i % 2}" for i in range(6)])
    line = f"data=manifest data.root={root} data.manifest=list.csv"
    refused(process("prepare", line), "lacks the column path", "data.columns={path: NAME} names another")
    wrong = process("prepare", f"{line} 'data.columns={{path: filename, label: ClassId}}'")
    refused(wrong, "data.columns.path=filename: ", "has no such column", "Did you mean 'Filename'?")
    refused(
        process("prepare", f"{line} 'data.columns={{pat: Filename}}'"),
        "data.columns, a key=pat",
        "Did you mean 'path'?",
    )
    assert process("prepare", f"{line} 'data.columns={{path: Filename, label: ClassId}}'").code == 0


@pytest.mark.parametrize(
    ("resize", "size", "expected"),
    [
        # 6 wide, 4 high
        ("stretch", 12, [2, 3, 8, 12]),
        ("pad", 12, [4, 5, 7, 8]),  # pixels kept, 3 left and 4 above
        ("pad", 3, [0.5, 0.5, 2, 2]),  # halved: 3x2, none left and none above
        ("crop", 8, [0, 2, 6, 8]),  # the middle four columns, doubled
    ],
)
def test_boxes_follow_the_pixels(root: Path, resize: str, size: int, expected: list[float]) -> None:
    lines = ["images/0.png,a,1,1,4,4", "images/1.png,b,,,,", "images/2.png,a,3,3,3,4", "images/3.png,b,5,5,1,1"]
    lines += ["images/4.png,a,-9,-9,99,99", "images/5.png,b,0,0,6,4"]
    config = settings(write(root, "path,label,xmin,ymin,xmax,ymax", *lines), resize=resize, size=size)
    boxes = prepare(config, seed=0).boxes
    assert boxes is not None
    assert boxes[0].tolist() == pytest.approx(expected)
    assert np.isnan(boxes[1:4]).all()
    whole = {"stretch": [0, 0, 12, 12], "crop": [0, 0, 8, 8]}.get(resize) or {12: [3, 4, 9, 8], 3: [0, 0, 3, 2]}[size]
    assert boxes[4].tolist() == boxes[5].tolist() == whole


def test_groups_are_kept_together(root: Path) -> None:
    make(root, *[f"more/{i}.png" for i in range(24)])
    lines = [f"more/{i}.png,{i % 2},{i // 4}" for i in range(24)]
    config = settings(write(root, "path,label,author", *lines), group="author")
    prepared = prepare(config, seed=0)
    lies_in: dict[int, str] = {}
    for name, indices in split(prepared, config, 0).items():
        for i in indices:
            assert lies_in.setdefault(int(i) // 4, name) == name
    with pytest.raises(InputError, match=r"data\.group=autor: listed has no such column; it has author\. Did you mean"):
        prepare(settings(root, group="autor"), seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", r"list\.csv: lacks the column path; its first line is file,label\."),
        ("path,label,label\n", r"has two columns of one name"),
        ("path,label\n", r"names no example"),
        ("", r"lacks the column path"),
        ("path,label\na,b,c\n", r"line 2 has more fields than the first line"),
        ("path,label,split\nimages/0.png,a,tset\nimages/1.png,b,train\n", r"row 2: split=tset: .* Did you mean 'test'"),
        ("path,label,split\nimages/0.png,a,test\nimages/1.png,b,test\n", r"nothing is in its train part, only in test"),
        ("path,label\nimages/0.png,a\n", r"names 1 classes \(a\); at least 2 are needed"),
        ("path,label,xmin,ymin,xmax,ymax\nimages/0.png,a,1,2,3,x\nimages/1.png,b,,,,\n", r"row 2: .*four numbers"),
    ],
)
def test_a_malformed_list(root: Path, text: str, message: str) -> None:
    (root / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        prepare(settings(root), seed=0)


def test_it_is_not_utf8_or_not_there(root: Path) -> None:
    (root / "list.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(InputError, match="is not CSV in UTF-8"):
        prepare(settings(root), seed=0)
    with pytest.raises(InputError, match=r"data\.manifest=lst\.csv: no such file in .* Did you mean 'list\.csv'"):
        prepare(settings(root, manifest="lst.csv"), seed=0)
