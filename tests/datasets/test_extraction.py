import gzip
import io
import multiprocessing
import tarfile
import zipfile

import pytest

from stylex.datasets.extraction import Limits, extract
from stylex.errors import DatasetError, StorageError

FILES = {"set/a.jpg": b"first" * 1000, "set/deep/b.jpg": b"second" * 1000, "set/empty.txt": b""}
BOMB = bytes(8 << 20)
NUL, DEVICE, PIPE, LINK, HARD = tarfile.REGTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def tar(*members, mode="w:gz"):
    """A tar archive of (name, content, type, link target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(*members, flag=0):
    """A zip archive of (name, content, Unix mode)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    content = bytearray(stream.getvalue())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the general purpose flags
        content[content.index(magic) + offset] |= flag
    return bytes(content)


def regular(name, content=b"evil"):
    return (name, content, NUL, "")


def special(name, kind, link=""):
    return (name, b"", kind, link)


FIRST = regular("good.jpg")
MALICIOUS = {
    "tar, absolute": (lambda out: tar(FIRST, regular(f"{out}/evil")), "evil", "outside the folder"),
    "tar, parent": (lambda out: tar(FIRST, regular("a/../../evil")), "a/../../evil", "outside the folder"),
    "tar, link out": (lambda out: tar(special("l", LINK, str(out)), regular("l/evil")), "l", "is a link"),
    "tar, relative link": (lambda out: tar(special("l", LINK, "../.."), regular("l/evil")), "l", "is a link"),
    "tar, hard link": (lambda out: tar(FIRST, special("h", HARD, f"{out}/secret")), "h", "is a link"),
    "tar, device": (lambda out: tar(FIRST, special("null", DEVICE)), "null", "a device"),
    "tar, pipe": (lambda out: tar(FIRST, special("pipe", PIPE)), "pipe", "a pipe"),
    "tar, twice": (lambda out: tar(FIRST, regular("./good.jpg")), "./good.jpg", "earlier member"),
    "tar, file as folder": (lambda out: tar(FIRST, regular("good.jpg/evil")), "good.jpg/evil", "earlier member"),
    "tar, long name": (lambda out: tar(FIRST, regular("n" * 300)), "nnn", "impossible name"),
    "tar, gz bomb": (lambda out: tar(FIRST, regular("bomb", BOMB)), "bomb", "times the archive's size"),
    "tar, xz bomb": (lambda out: tar(FIRST, regular("bomb", BOMB), mode="w:xz"), "bomb", "times the archive's size"),
    "tar, header bomb": (lambda out: tar(FIRST, regular("n" * (8 << 20))), "good.jpg", "times the archive's size"),
    "tar, many": (lambda out: tar(*(regular(f"{n}") for n in range(60))), "50", "more than 50 members"),
    "zip, absolute": (lambda out: zipped((f"{out}/evil", b"evil", 0)), "evil", "outside the folder"),
    "zip, parent": (lambda out: zipped(("good", b"", 0), ("../evil", b"evil", 0)), "../evil", "outside the folder"),
    "zip, backslash": (lambda out: zipped(("..\\evil", b"evil", 0)), "evil", "outside the folder"),
    "zip, drive": (lambda out: zipped(("C:evil", b"evil", 0)), "C:evil", "outside the folder"),
    "zip, link": (lambda out: zipped(("l", str(out).encode(), 0o120777)), "l", "is a link"),
    "zip, device": (lambda out: zipped(("null", b"", 0o020666)), "null", "a device"),
    "zip, encrypted": (lambda out: zipped(("secret", b"evil", 0), flag=1), "secret", "is encrypted"),
    "zip, bomb": (lambda out: zipped(("good", b"", 0), ("bomb", BOMB, 0)), "bomb", "times the archive's size"),
    "zip, shared bomb": (lambda out: zipped(*((f"{n}", bytes(90_000), 0) for n in range(20))), "11", "archive's size"),
    "zip, many": (lambda out: zipped(*((f"{n}", b"", 0) for n in range(60))), "50", "more than 50 members"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_archive_is_refused(tmp_path, name):
    make, member, reason = MALICIOUS[name]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"kept")
    archive = tmp_path / "set.archive"
    archive.write_bytes(make(outside))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError) as caught:
        extract(archive, tmp_path / "raw" / "set", Limits(members=50))
    line = str(caught.value)
    assert str(archive) in line and member in line and reason in line and "\n" not in line
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "raw"])  # only the parent, and it is empty
    assert (outside / "secret").read_bytes() == b"kept"


def good(kind):
    if kind == "zip":
        return zipped(("set/", b"", 0o040755), *((name, body, 0o100644) for name, body in FILES.items()))
    folder = special("./set", tarfile.DIRTYPE)
    return tar(folder, *(regular(name, body) for name, body in FILES.items()), mode=f"w:{kind}")


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz", "zip"])
def test_archive_arrives_whole_and_readable(tmp_path, kind):
    archive, folder = tmp_path / "archive", tmp_path / "raw" / "set"
    archive.write_bytes(good(kind))
    extract(archive, folder)
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["set"]
    assert folder.stat().st_mode & 0o500 == 0o500 and folder.stat().st_mode & 0o077 == tmp_path_mode(tmp_path)


def tmp_path_mode(tmp_path):
    (tmp_path / "plain").mkdir()
    return (tmp_path / "plain").stat().st_mode & 0o077


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("tenth", range(10))
def test_truncated_archive_leaves_nothing(tmp_path, kind, tenth):
    body = good(kind)
    archive = tmp_path / "archive"
    end = len(body.rstrip(b"\0")) if kind == "" else len(body)  # a plain tar is padded with zeros
    archive.write_bytes(body[: end * tenth // 10])
    with pytest.raises(DatasetError, match="is damaged or no tar or zip archive"):
        extract(archive, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_broken_header_is_not_the_end(tmp_path):
    body = bytearray(gzip.decompress(good("gz")))
    second = body.index(b"set/deep/b.jpg")
    body[second : second + 3] = b"SET"  # its checksum does not fit any more
    (tmp_path / "archive").write_bytes(body)
    with pytest.raises(DatasetError, match=r"after member 'set/a.jpg' \(bad checksum\)"):
        extract(tmp_path / "archive", tmp_path / "set")


def test_total_limit(tmp_path):
    (tmp_path / "archive").write_bytes(good("gz"))
    with pytest.raises(DatasetError, match="member '.*' unpacks to more than 9000 bytes"):
        extract(tmp_path / "archive", tmp_path / "set", Limits(total=9000))


def test_existing_folder_and_missing_archive(tmp_path):
    with pytest.raises(DatasetError, match="does not exist; download it first"):
        extract(tmp_path / "archive", tmp_path / "set")
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match="exists already; delete it"):
        extract(tmp_path / "archive", tmp_path / "set")


def test_full_disk_leaves_nothing(tmp_path, small_disk):
    noise = b"".join(bytes([n * n * 7 % 251, n % 256]) for n in range(100_000))
    (tmp_path / "archive").write_bytes(tar(regular("large", noise)))
    with pytest.raises(StorageError, match="No space left on device"):
        extract(tmp_path / "archive", small_disk / "set")
    assert list(small_disk.iterdir()) == []


def test_only_the_members_that_are_asked_for_are_written(tmp_path):
    archive = tmp_path / "set.tgz"
    archive.write_bytes(tar(*(regular(name, content) for name, content in FILES.items())))
    extract(archive, tmp_path / "set", members=["*/b.jpg", "set/*.txt"])
    files = sorted(path.name for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert files == ["b.jpg", "empty.txt"]


def unpack(archive, folder, barrier, results):
    barrier.wait()
    try:
        extract(archive, folder)
        results.put("done")
    except DatasetError as error:
        results.put(str(error))


def test_two_processes_extract_the_same(tmp_path):
    archive, folder = tmp_path / "archive", tmp_path / "set"
    archive.write_bytes(good("gz"))
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=unpack, args=(archive, folder, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    said = sorted(results.get(timeout=20) for _ in processes)
    for process in processes:
        process.join()
    assert "done" in said and all(line == "done" or "exists already" in line for line in said)
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "set"]
