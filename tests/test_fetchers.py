"""The fetched data sets: from the data home, and from their sources, played by a local server."""

import csv
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from hierclf.datasets import (
    _download,
    _newsgroups,
    _reuters,
    _trec,
    fetch_20newsgroups,
    fetch_reuters,
    fetch_trec,
)

FETCHERS = {
    "trec": fetch_trec,
    "20ng": fetch_20newsgroups,
    "r8": partial(fetch_reuters, "r8"),
    "r52": partial(fetch_reuters, "r52"),
}

# Made up for these tests.
TREC_TRAIN = (
    b"LOC:city Where is Springfield ?\nNUM:date When is tea ?\nLOC:city Which sister\xf0town ?\n"
)
TREC_TEST = b"NUM:date When is supper ?\r\n"
TRAIN_ROWS = [
    ("Where is Springfield ?", "LOC:city"),
    ("When is tea ?", "NUM:date"),
    ("Which sister town ?", "LOC:city"),
]
TEST_ROWS = [("When is supper ?", "NUM:date")]


def story(newid, split, topics, text, has_topics="YES"):
    topics = "".join(f"<D>{topic}</D>" for topic in topics)
    return (
        f'<REUTERS TOPICS="{has_topics}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" '
        f'OLDID="7" NEWID="{newid}">\n<DATE>26-FEB-1987</DATE>\n<TOPICS>{topics}</TOPICS>\n'
        f"<PLACES><D>usa</D></PLACES>\n<UNKNOWN>\n&#5;&#22;f0</UNKNOWN>\n{text}\n</REUTERS>\n"
    )


def plain(title, body):
    return (
        f"<TEXT>&#2;\n<TITLE>{title}</TITLE>\n<AUTHOR>    By A. Nobody</AUTHOR>\n"
        f"<DATELINE>    NOWHERE, Feb 26 - </DATELINE><BODY>{body}\n Reuter\n&#3;</BODY></TEXT>"
    )


SGML = {
    "reut2-000.sgm": [
        story(1, "TRAIN", ["earn"], plain("ACME &lt;ACM.O> UP", "Acme's 3,\nA&amp;B said.")),
        story(2, "TRAIN", ["earn", "acq"], plain("TWO", "topics")),
        story(3, "TRAIN", [], plain("NO", "topics")),
        story(4, "TRAIN", ["tin"], plain("TIN", "only in train")),
        story(5, "NOT-USED", ["earn"], plain("NOT", "used")),
        story(6, "TRAIN", ["earn"], plain("NOT", "indexed"), has_topics="NO"),
        story(7, "TRAIN", ["cocoa"], '<TEXT TYPE="BRIEF">&#2;\n***<TITLE>COCOA\nFALLS</TITLE>\n'
              "Blah blah blah.\n&#3;\n\n</TEXT>"),
    ],
    "reut2-001.sgm": [
        story(8, "TEST", ["earn"], '<TEXT TYPE="UNPROC">&#2;\nWIDGETS 4TH QTR\n    LONDON\n'
              "  Shr 1p vs 2p\n&#3;\n</TEXT>"),
        story(9, "TEST", ["cocoa"], plain("Cocoa caf\xe9", "rises")),
        story(10, "TEST", ["zinc"], plain("ZINC", "only in test")),
        story(11, "TEST", ["earn", "cocoa"], plain("TWO", "topics")),
    ],
}  # fmt: skip
R52 = {
    "train": [("acme acm o up acme s a b said reuter", "earn"), ("cocoa falls", "cocoa")],
    "test": [("widgets th qtr london shr p vs p", "earn"), ("cocoa caf rises reuter", "cocoa")],
}
R8 = {part: rows[:1] for part, rows in R52.items()}


def pack(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, stories in {"README.txt": ["Not this."], **files}.items():
            content = ("<!DOCTYPE lewis>\n" + "".join(stories)).encode("latin-1")
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def server():
    """Serve `files`; those in `cut` end half-way, though their length was announced."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(self.path)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.path in state.cut else content)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = SimpleNamespace(
            url=f"http://127.0.0.1:{http.server_port}", files={}, cut=set(), requests=[]
        )
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()


def shrink(collection, parts):
    """Let a collection expect the made-up rows."""
    return collection._replace(
        n_rows={part: len(rows) for part, rows in parts.items()},
        n_classes={part: len({label for _, label in rows}) for part, rows in parts.items()},
    )


@pytest.fixture
def trec_source(server, monkeypatch):
    files = {}
    for part, content in {"train": TREC_TRAIN, "test": TREC_TEST}.items():
        name = _trec.FILES[part].name
        server.files[f"/{name}"] = content
        files[part] = _download.RemoteFile(
            name, (f"{server.url}/{name}",), hashlib.sha256(content).hexdigest()
        )
    monkeypatch.setattr(_trec, "FILES", files)
    monkeypatch.setattr(_trec, "TREC", shrink(_trec.TREC, {"train": TRAIN_ROWS, "test": TEST_ROWS}))
    return server


@pytest.fixture
def reuters_source(server, monkeypatch):
    server.files["/mirror.tar.gz"] = pack(SGML)
    urls = (f"{server.url}/first.tar.gz", f"{server.url}/mirror.tar.gz")
    monkeypatch.setattr(_reuters, "ARCHIVE", _reuters.ARCHIVE._replace(urls=urls))
    monkeypatch.setattr(_reuters, "N_DOCUMENTS", 11)
    for name, parts in {"r8": R8, "r52": R52}.items():
        collection = shrink(_reuters.COLLECTIONS[name], parts)
        monkeypatch.setitem(_reuters.COLLECTIONS, name, collection)
    return server


def rows_of(bunch):
    return list(zip(bunch.data, bunch.target, strict=True))


def files_in(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def write_csv(file, rows, header=("text", "label")):
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


# ---------------------------------------------------------------------------------------------
# The parsers


def test_trec_lines_are_parsed():
    assert _trec.parse_label_file(TREC_TRAIN) == TRAIN_ROWS
    assert _trec.parse_label_file(TREC_TEST) == TEST_ROWS


@pytest.mark.parametrize("line", ["LOC Where ?", "LOC:city", "<html> Not found", ":x Where ?", ""])
def test_trec_lines_that_are_none_are_named(line):
    with pytest.raises(ValueError, match=rf"line 2 .*{re.escape(repr(line))}"):
        _trec.parse_label_file(f"NUM:date When ?\n{line}\nNUM:date When ?\n".encode())


def test_reuters_stories_are_parsed():
    documents = list(_reuters.parse_sgml("".join(SGML["reut2-000.sgm"])))
    assert [document.part for document in documents] == [
        "train", "train", "train", "train", None, None, "train",
    ]  # fmt: skip
    assert [document.topics for document in documents] == [
        ("earn",), ("earn", "acq"), (), ("tin",), ("earn",), ("earn",), ("cocoa",),
    ]  # fmt: skip
    assert documents[0].text == "acme acm o up acme s a b said reuter"
    assert documents[6].text == "cocoa falls"


def test_reuters_stories_without_a_text_are_named():
    with pytest.raises(ValueError, match="document 12 has no TOPICS or no TEXT"):
        list(_reuters.parse_sgml(story(12, "TRAIN", ["earn"], "")))


def test_reuters_selection_keeps_single_topics_that_both_parts_have():
    documents = [
        document for stories in SGML.values() for document in _reuters.parse_sgml("".join(stories))
    ]
    assert _reuters.select_single_topic(documents) == R52


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ("From: a@b.c\nSubject: Re: 3 Discs\nLines: 2\n\nI've 2.\n\n-- \nMe", "re discs i ve me"),
        ("subject: Long\n\tline\n more\nLines: 1\n\nBody", "long line more body"),
        ("From: a@b.c\n\nSubject: in the body", "subject in the body"),
        ("Subject: no body", "no body"),
    ],
)
def test_newsgroup_posts_are_reduced_to_words(post, words):
    assert _newsgroups.post_words(post) == words


# ---------------------------------------------------------------------------------------------
# The data home


@pytest.fixture
def expect_trec(monkeypatch):
    """Let ``fetch_trec`` expect made-up rows."""

    def expect(train, test=TEST_ROWS):
        collection = shrink(_trec.TREC, {"train": train, "test": test})
        monkeypatch.setattr(_trec, "TREC", collection)

    return expect


@pytest.fixture
def home(tmp_path, expect_trec):
    expect_trec(TRAIN_ROWS)
    write_csv(tmp_path / "trec" / "train.csv.gz", TRAIN_ROWS)
    write_csv(tmp_path / "trec" / "test.csv.gz", TEST_ROWS)
    return tmp_path


def test_splits(home):
    assert rows_of(fetch_trec(data_home=home)) == TRAIN_ROWS
    assert rows_of(fetch_trec(split="test", data_home=str(home))) == TEST_ROWS
    assert rows_of(fetch_trec(split="all", data_home=home)) == TRAIN_ROWS + TEST_ROWS


def test_data_and_target_alone(home):
    data, target = fetch_trec(data_home=home, return_X_y=True)
    bunch = fetch_trec(data_home=home)
    assert data.dtype == object
    assert target.dtype.kind == "U"
    np.testing.assert_array_equal(data, bunch.data)
    np.testing.assert_array_equal(target, bunch.target)


def test_data_home_comes_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("HIERCLF_DATA", str(home))
    assert rows_of(fetch_trec()) == TRAIN_ROWS


def test_data_home_is_in_the_users_home_otherwise(home, monkeypatch):
    monkeypatch.delenv("HIERCLF_DATA", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    (home / "hierclf_data").mkdir()
    (home / "trec").rename(home / "hierclf_data" / "trec")
    assert rows_of(fetch_trec()) == TRAIN_ROWS


def test_further_columns_and_long_texts_are_read(tmp_path, expect_trec):
    text = 'a, "b"\n' * 30_000  # more than the csv module reads by default
    expect_trec([(text, "NUM:date")])
    file = tmp_path / "trec" / "train.csv.gz"
    write_csv(file, [("NUM:date", "7", text)], header=("label", "id", "text"))
    limit = csv.field_size_limit()
    assert rows_of(fetch_trec(data_home=tmp_path)) == [(text, "NUM:date")]
    assert csv.field_size_limit() == limit


def test_what_is_written_is_read_back(tmp_path, expect_trec):
    rows = [('comma, "quote"', "NUM:date"), ("two\nlines\r\nü", "LOC:city"), ("none", "NUM:date")]
    expect_trec(rows)
    _download.write_parts({"train": rows}, tmp_path / "trec")
    assert rows_of(fetch_trec(data_home=tmp_path)) == rows


def test_a_label_that_is_no_leaf_is_named(tmp_path):
    file = tmp_path / "trec" / "train.csv.gz"
    write_csv(file, [("When ?", "NUM:date"), ("Where ?", "LOC")])
    with pytest.raises(ValueError, match=r"train\.csv\.gz: the label 'LOC' of row 1"):
        fetch_trec(data_home=tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:-10],
        lambda good: b"<html>",
        lambda good: gzip.compress(b"a\n1"),
    ],
    ids=["half", "not gzip", "no columns"],
)
def test_a_damaged_file_in_the_data_home_is_named(home, damage):
    file = home / "trec" / "train.csv.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(OSError, match=r"trec.train\.csv\.gz cannot be read .* delete it"):
        fetch_trec(data_home=home)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], "0 rows in 0 classes"),
        (TRAIN_ROWS[:2], "2 rows in 2 classes"),
        (TRAIN_ROWS + TRAIN_ROWS[:1], "4 rows in 2 classes"),
        ([TRAIN_ROWS[0]] * 3, "3 rows in 1 classes"),
    ],
)
@pytest.mark.parametrize("split", ["train", "all"])
def test_an_incomplete_file_in_the_data_home_is_named(home, rows, found, split):
    write_csv(home / "trec" / "train.csv.gz", rows)
    message = (
        rf"train\.csv\.gz is incomplete .*the train part of trec has {found}, expected 3 rows in 2"
    )
    with pytest.raises(OSError, match=f"{message} classes; delete it"):
        fetch_trec(split=split, data_home=home)
    assert rows_of(fetch_trec(split="test", data_home=home)) == TEST_ROWS


@pytest.mark.parametrize("fetch", FETCHERS.values(), ids=FETCHERS)
def test_a_missing_file_is_named_when_downloads_are_forbidden(fetch, tmp_path):
    with pytest.raises(OSError, match=r"train\.csv\.gz is missing.*HIERCLF_DATA"):
        fetch(data_home=tmp_path, download_if_missing=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fetch", FETCHERS.values(), ids=FETCHERS)
def test_bad_split_is_refused(fetch, tmp_path):
    with pytest.raises(ValueError, match="split must be 'train', 'test' or 'all', got 'valid'"):
        fetch(split="valid", data_home=tmp_path)


@pytest.mark.parametrize("subset", ["r90", ["r8"], None])
def test_bad_subset_is_refused(tmp_path, subset):
    message = f"subset must be 'r8' or 'r52', got {subset!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        fetch_reuters(subset, data_home=tmp_path)


# ---------------------------------------------------------------------------------------------
# Downloads


def test_trec_is_downloaded_once(trec_source, tmp_path):
    assert rows_of(fetch_trec(split="test", data_home=tmp_path)) == TEST_ROWS
    assert rows_of(fetch_trec(split="all", data_home=tmp_path)) == TRAIN_ROWS + TEST_ROWS
    assert trec_source.requests == ["/train_5500.label", "/TREC_10.label"]
    assert files_in(tmp_path) == ["trec/test.csv.gz", "trec/train.csv.gz"]


def test_reuters_is_downloaded_once_for_both(reuters_source, tmp_path):
    assert (
        rows_of(fetch_reuters("r52", split="all", data_home=tmp_path)) == R52["train"] + R52["test"]
    )
    assert rows_of(fetch_reuters("r8", data_home=tmp_path)) == R8["train"]
    assert rows_of(fetch_reuters(split="test", data_home=tmp_path)) == R8["test"]
    # The first address is gone, so the mirror gave it.
    assert reuters_source.requests == ["/first.tar.gz", "/mirror.tar.gz"]
    assert files_in(tmp_path) == [
        f"{n}/{p}.csv.gz" for n in ("r52", "r8") for p in ("test", "train")
    ]


def break_bytes(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize("harm", ["gone", "cut", "half", "changed", "page"])
@pytest.mark.parametrize(
    ("source", "fetch", "path", "put_at"),
    [
        ("trec_source", fetch_trec, "/TREC_10.label", "trec/TREC_10.label"),
        ("reuters_source", fetch_reuters, "/mirror.tar.gz", "reuters21578/reuters21578.tar.gz"),
    ],
)
def test_a_damaged_download_is_noticed_and_not_kept(
    source, fetch, path, put_at, harm, request, tmp_path
):
    server = request.getfixturevalue(source)
    good = server.files[path]
    if harm == "gone":
        del server.files[path]
    elif harm == "cut":
        server.cut.add(path)
    else:
        server.files[path] = {
            "half": good[: len(good) // 2],  # complete, as far as the server says
            "changed": break_bytes(good),
            "page": b"<html>Please log in</html>",
        }[harm]
    with pytest.raises(OSError, match="could not download") as caught:
        fetch(data_home=tmp_path)
    assert server.url + path in str(caught.value)
    assert str(tmp_path / put_at) in str(caught.value)
    assert files_in(tmp_path) == []

    server.cut.clear()
    server.files[path] = good
    assert len(fetch(data_home=tmp_path).data) > 0


def test_an_archive_without_all_documents_is_refused(reuters_source, tmp_path):
    reuters_source.files["/mirror.tar.gz"] = pack({"reut2-000.sgm": SGML["reut2-000.sgm"]})
    with pytest.raises(OSError, match="it holds 7 documents, expected 11"):
        fetch_reuters(data_home=tmp_path)
    assert files_in(tmp_path) == []


def test_an_archive_with_other_rows_is_refused(reuters_source, tmp_path):
    swapped = [text.replace("<D>cocoa</D>", "<D>earn</D>") for text in SGML["reut2-000.sgm"]]
    reuters_source.files["/mirror.tar.gz"] = pack({**SGML, "reut2-000.sgm": swapped})
    with pytest.raises(OSError, match=r"r8 has 2 rows in 1 classes, expected 1 rows in 1 classes"):
        fetch_reuters(data_home=tmp_path)
    assert files_in(tmp_path) == []


def test_a_class_outside_the_hierarchy_is_refused(trec_source, tmp_path, monkeypatch):
    content = TREC_TEST.replace(b"NUM:date", b"NUM:year")
    trec_source.files["/TREC_10.label"] = content
    file = _trec.FILES["test"]._replace(sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(_trec.FILES, "test", file)
    with pytest.raises(OSError, match="'NUM:year' is not a class of trec"):
        fetch_trec(data_home=tmp_path)


def test_original_files_put_by_hand_are_used(trec_source, reuters_source, tmp_path):
    for name, content in {
        "trec/train_5500.label": TREC_TRAIN,
        "trec/TREC_10.label": TREC_TEST,
        "reuters21578/reuters21578.tar.gz": pack(SGML),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert rows_of(fetch_trec(data_home=tmp_path)) == TRAIN_ROWS
    assert rows_of(fetch_reuters("r52", data_home=tmp_path)) == R52["train"]
    assert trec_source.requests == []


def test_a_damaged_file_put_by_hand_is_named(trec_source, tmp_path):
    file = tmp_path / "trec" / "train_5500.label"
    file.parent.mkdir()
    file.write_bytes(TREC_TRAIN[:-9])
    with pytest.raises(OSError, match=r"train_5500\.label is damaged .*its SHA-256 is") as caught:
        fetch_trec(data_home=tmp_path)
    assert str(file) in str(caught.value)
    assert files_in(tmp_path) == ["trec/train_5500.label"]


def test_nothing_half_written_is_kept(trec_source, tmp_path, monkeypatch):
    write_rows = _download._write_rows

    def write_and_fail(rows, file):
        write_rows(rows, file)
        if file.name == "test.csv.gz":
            raise OSError("No space left on device")

    monkeypatch.setattr(_download, "_write_rows", write_and_fail)
    with pytest.raises(OSError, match="No space left"):
        fetch_trec(data_home=tmp_path)
    assert files_in(tmp_path) == []


def test_downloads_without_pooch_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install pooch \(the extra 'data' of hierclf\)"):
        fetch_trec(data_home=tmp_path)


def test_pooch_is_imported_only_when_used():
    code = "import sys, hierclf.datasets; sys.exit('pooch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------------
# 20 Newsgroups, through scikit-learn


def posts(rows):
    """Return a Bunch as scikit-learn's: the groups as numbers, in no order."""
    names = sorted({label for _, label, _ in rows})
    return Bunch(
        data=[text for text, _, _ in rows],
        target=np.array([names.index(label) for _, label, _ in rows]),
        target_names=names,
        filenames=np.array([f"/anywhere/20news-bydate-x/{label}/{i}" for _, label, i in rows]),
    )


def test_newsgroups_come_from_sklearn_once(tmp_path, monkeypatch):
    parts = {
        "train": posts([
            ("Subject: Orbit\n\nOf 2 moons", "sci.space", 11),
            ("Subject: Car\n\nfor sale", "rec.autos", 12),
            ("Subject: Bus\n\ntoo", "rec.autos", 111),
        ]),
        "test": posts([("Subject: Mars\n\nnext", "sci.space", 5)]),
    }  # fmt: skip
    calls = []

    def fake(*, subset, shuffle):
        calls.append(subset)
        return parts[subset]

    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", fake)
    train = [
        ("bus too", "rec.autos"),
        ("car for sale", "rec.autos"),
        ("orbit of moons", "sci.space"),
    ]
    test = [("mars next", "sci.space")]
    with pytest.raises(OSError, match=r"3 rows in 2 classes, expected 11314 rows in 20.*20ng"):
        fetch_20newsgroups(data_home=tmp_path)
    assert files_in(tmp_path) == []

    small = shrink(_newsgroups.NEWSGROUPS, {"train": train, "test": test})
    monkeypatch.setattr(_newsgroups, "NEWSGROUPS", small)
    calls.clear()
    assert rows_of(fetch_20newsgroups(data_home=tmp_path)) == train
    assert rows_of(fetch_20newsgroups(split="test", data_home=tmp_path)) == test
    assert calls == ["train", "test"]


def test_newsgroups_that_sklearn_cannot_get_say_where_to_put_them(tmp_path, monkeypatch):
    def fail(**kwargs):
        raise OSError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", fail)
    with pytest.raises(OSError, match=r"no network.*train\.csv\.gz") as caught:
        fetch_20newsgroups(data_home=tmp_path)
    assert str(tmp_path / "20ng") in str(caught.value)


# ---------------------------------------------------------------------------------------------
# The taxonomies, and the real data


@pytest.mark.parametrize(
    ("collection", "n_inner", "widest"),
    [
        (_trec.TREC, 6, 22),
        (_newsgroups.NEWSGROUPS, 6, 5),
        (_reuters.COLLECTIONS["r8"], 4, 2),
        (_reuters.COLLECTIONS["r52"], 4, 31),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_taxonomies_have_the_papers_shape(collection, n_inner, widest):
    hierarchy = collection.hierarchy
    assert hierarchy.is_tree
    assert hierarchy.depth == 2
    assert len(hierarchy.level(0)) == n_inner
    assert max(len(hierarchy.children(node)) for node in hierarchy.level(0)) == widest
    assert len(hierarchy.leaves) == collection.n_classes["train"]


# Rows of train and of test, classes of train and of test, the largest class of train.
REAL = {
    "trec": (5452, 500, 50, 42, ("HUM:ind", 962)),
    "20ng": (11314, 7532, 20, 20, ("rec.sport.hockey", 600)),
    "r8": (5485, 2189, 8, 8, ("earn", 2840)),
    "r52": (6532, 2568, 52, 52, ("earn", 2840)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(name, data_home):
    n_train, n_test, n_train_classes, n_test_classes, largest = REAL[name]
    train = FETCHERS[name](data_home=data_home, download_if_missing=False)
    test = FETCHERS[name](split="test", data_home=data_home, download_if_missing=False)
    assert (len(train.data), len(test.data)) == (n_train, n_test)
    assert len(set(train.target)) == n_train_classes
    assert len(set(test.target)) == n_test_classes
    assert set(train.target) == set(train.hierarchy.leaves)
    assert set(test.target) <= set(train.target)
    assert Counter(train.target).most_common(1) == [largest]
    assert all(isinstance(text, str) and text.strip() for text in train.data)

    taxonomy = json.loads((data_home / name / "hierarchy.json").read_text(encoding="utf-8"))
    assert set(train.hierarchy.level(0)) == set(taxonomy.pop("root"))
    for parent, children in taxonomy.items():
        assert set(train.hierarchy.children(parent)) == set(children)


def test_the_checksum_of_the_trec_test_file_is_that_of_the_real_questions(data_home):
    rows = rows_of(fetch_trec(split="test", data_home=data_home))
    content = "".join(f"{label} {text}\n" for text, label in rows).encode()
    assert hashlib.sha256(content).hexdigest() == _trec.FILES["test"].sha256
    assert _trec.parse_label_file(content) == rows


@pytest.mark.parametrize("part", ["train", "test"])
def test_real_newsgroup_posts_convert_to_the_real_texts(part, data_home):
    file = data_home / "20ng" / f"raw_{part}.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines, _download._long_fields():
        raw = [
            (row["text"], row["label"], row["doc_id"].split("/")[1])
            for row in csv.DictReader(lines)
        ]
    # In another order, as scikit-learn has them.
    rows = _newsgroups.convert_posts(posts(raw[::-1]))
    assert rows == rows_of(fetch_20newsgroups(split=part, data_home=data_home))
