#!/usr/bin/env python3
"""Fetches the public recordings that models/data.toml names, and writes the manifest that `cpc-lab train` reads.

    models/fetch.py DIR [--only SET …] [--list FILE] [--lock FILE] [--keep]

Python 3.11 or later, nothing else (ffmpeg for sets that say `convert`). In DIR each set gets a folder; `manifest.csv` has a row a file. A download that
was broken off goes on where it ended, where the server can. Every archive is compared with the sha256 of the list, or else with that
of the lock file (DIR/data.lock.json), where the first fetch records the sha256, size and address of an archive that none is known of: keep that file, and give
it to whoever shall have the same data. Archives of GitHub are recorded with their commit. Sets that are there are not fetched
again. Ends with 1 where a set is missing.
"""

import argparse
import csv
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.parse
import urllib.request
import zipfile

BLOCK = 1 << 20
MOST_TEXT = 16 << 20
MOST_FILE = 1 << 30
MOST_SET = 16 << 30
COLUMNS = ["file", "set", "split", "speaker", "licence", "source"]
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Failure(Exception):
    """A set that cannot be had, in words."""


def check_url(url):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Failure(f"{url}: only https is fetched")


class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, url):
        check_url(url)
        return super().redirect_request(request, file, code, message, headers, url)


OPENER = urllib.request.build_opener(Redirects)


def address(entry, lock):
    known = lock.get(entry["name"], {})
    if "github" in entry:
        base = entry.get("server", "https://github.com")
        revision = entry.get("revision") or known.get("commit") or "HEAD"
        return f"{base}/{entry['github']}/archive/{revision}.tar.gz"
    return entry["url"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url, path):
    """The archive at `url` in `path`. `path`.part holds what was had of it, `path`.etag the version that it belongs to."""
    check_url(url)
    part, tag = path.with_name(path.name + ".part"), path.with_name(path.name + ".etag")
    had = part.stat().st_size if part.exists() and tag.exists() else 0
    headers = {"User-Agent": "cpc-stream-fetch", "Accept-Encoding": "identity"}
    if had:
        headers |= {"Range": f"bytes={had}-", "If-Range": tag.read_text()}
    try:
        answer = OPENER.open(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and had:
            part.unlink()
            return download(url, path)
        raise Failure(f"{url}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{url}: {error}") from error
    with answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        if answer.status != 200 and not goes_on:
            raise Failure(f"{url}: status {answer.status}")
        etag = answer.headers.get("ETag", "")
        # a weak tag does not say that the bytes are the same
        if etag and not etag.startswith("W/"):
            tag.write_text(etag)
        else:
            tag.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        try:
            with open(part, "ab" if goes_on else "wb") as file:
                start = file.tell()
                shutil.copyfileobj(answer, file, BLOCK)
                got = file.tell() - start
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{url}: broken off: {error}; run it again to go on") from error
    if length is not None and got != int(length):
        raise Failure(f"{url}: broken off after {got} of {length} bytes; run it again to go on")
    part.rename(path)
    tag.unlink(missing_ok=True)


def verify(entry, path, url, lock):
    """Compares with what is known; what is not known is put into the lock."""
    found = {"sha256": sha256(path), "bytes": path.stat().st_size}
    known = entry if "sha256" in entry else lock.get(entry["name"], {})
    for key, value in found.items():
        if known.get(key) not in (None, value):
            path.unlink()
            raise Failure(f"{url}: {key} is {value}, expected {known[key]}: another archive than the one recorded. It was thrown away; to "
                          f"take it all the same, delete `{entry['name']}` from the lock file")
    lock.setdefault(entry["name"], {}).update(found, url=url)


def members(path):
    """(path in the archive without its outermost folder, size, opener) of each regular file; and the commit of an archive of git."""
    if zipfile.is_zipfile(path):
        archive, commit = zipfile.ZipFile(path), None
        plain = [info for info in archive.infolist() if not info.is_dir() and (info.external_attr >> 28) in (0, 8)]
        files = [(info.filename, info.file_size, lambda info=info: archive.open(info)) for info in plain]
    else:
        archive = tarfile.open(path)
        # links, devices and pipes are no files
        plain = [info for info in archive if info.isreg()]
        files = [(info.name, info.size, lambda info=info: archive.extractfile(info)) for info in plain]
        comment = archive.pax_headers.get("comment", "")
        commit = comment if re.fullmatch("[0-9a-f]{40}", comment) else None
    tops = {name.split("/", 1)[0] for name, _, _ in files}
    inside = len(tops) == 1 and all("/" in name for name, _, _ in files)
    return [(name.split("/", 1)[1] if inside else name, size, opener) for name, size, opener in files], commit


def safe(name):
    """The parts of a path in an archive, which stay inside."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise Failure(f"the path {name!r} in the archive leads elsewhere")
    return parts


def licences(entry, files):
    """Clip → (licence, source), from the file of the archive that says so."""
    table = entry.get("licences")
    if table is None:
        return None
    opener = next((opener for name, _, opener in files if name == table["file"]), None)
    if opener is None:
        raise Failure(f"{entry['name']}: the archive has no {table['file']}, which tells the licences")
    found = re.finditer(table["line"], opener().read(MOST_TEXT).decode("utf-8", "replace"))
    allowed = table["allowed"]
    return {m["clip"]: (allowed[m["licence"]], m.groupdict().get("source") or "") for m in found if m["licence"] in allowed}


def select(entry, name, known):
    """The row of a file without its path, and whether it is to be converted; None where it is not taken."""
    for take in entry["take"]:
        found = re.fullmatch(take["files"], name)
        if not found:
            continue
        groups = found.groupdict()
        licence, source = take.get("licence", ""), ""
        if known is not None:
            if groups["clip"] not in known:
                return None
            licence, source = known[groups["clip"]]
        split = "eval" if "eval" in take and re.fullmatch(take["eval"], name) else "train"
        row = {"set": entry["name"], "split": split, "speaker": groups.get("speaker") or take.get("speaker", ""), "licence": licence,
               "source": source or entry.get("github") or entry.get("url", "")}
        return row, take.get("convert", False)
    return None


def convert(data, target):
    """Writes `data` as FLAC."""
    if shutil.which("ffmpeg") is None:
        raise Failure("ffmpeg is missing, which turns Opus into FLAC")
    with tempfile.NamedTemporaryFile() as source:
        shutil.copyfileobj(data, source, BLOCK)
        source.flush()
        done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", "file:" + source.name, "-ac", "1",
                               "-ar", "16000", "-sample_fmt", "s16", "-y", "file:" + os.fspath(target)], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"ffmpeg: {done.stderr.strip()}")


def unpack(entry, archive, folder):
    """Writes what is taken of the archive below `folder`; gives the rows and the commit."""
    files, commit = members(archive)
    known, rows, total = licences(entry, files), [], 0
    for name, size, opener in sorted(files, key=lambda file: file[0]):
        chosen = select(entry, name, known)
        if chosen is None:
            continue
        row, converted = chosen
        parts, total = safe(name), total + size
        if size > MOST_FILE or total > MOST_SET:
            raise Failure(f"{name}: {size} bytes, {total} in all, are more than expected")
        target = folder.joinpath(*parts)
        if converted:
            target = target.with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        with opener() as data:
            if converted:
                convert(data, target)
            else:
                with open(target, "xb") as file:
                    shutil.copyfileobj(data, file, BLOCK)
        rows.append({"file": f"{entry['name']}/{target.relative_to(folder).as_posix()}", **row})
    if not rows:
        raise Failure(f"{entry['name']}: nothing in the archive is as models/data.toml describes it")
    return rows, commit


def write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def fetch(entry, folder, lock, keep):
    """The rows of a set, which is fetched where it is not there."""
    home, table = folder / entry["name"], folder / f"{entry['name']}.rows.json"
    if home.is_dir() and table.is_file():
        return json.loads(table.read_text(encoding="utf-8"))
    if "page" in entry:
        raise Failure(f"by hand, from {entry['page']}. {entry.get('note', '')}")
    url = address(entry, lock)
    archive = folder / f"{entry['name']}.archive"
    if not archive.is_file():
        print(f"{entry['name']}: fetches {url}", flush=True)
        download(url, archive)
    verify(entry, archive, url, lock)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{entry['name']}.") as work:
        inside = pathlib.Path(work) / "files"
        inside.mkdir()
        try:
            rows, commit = unpack(entry, archive, inside)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise Failure(f"{archive}: damaged or not readable: {error}") from error
        if commit:
            lock[entry["name"]]["commit"] = commit
        shutil.rmtree(home, ignore_errors=True)
        inside.rename(home)
    write(table, json.dumps(rows))
    if not keep:
        archive.unlink()
    return rows


def main(arguments=None):
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dir", type=pathlib.Path, help="where the recordings and manifest.csv go")
    parser.add_argument("--only", nargs="+", metavar="SET", help="these sets alone")
    parser.add_argument("--list", type=pathlib.Path, default=here / "data.toml", help="another list")
    parser.add_argument("--lock", type=pathlib.Path, help="what archives were; DIR/data.lock.json if left out")
    parser.add_argument("--keep", action="store_true", help="keep the archives")
    given = parser.parse_args(arguments)
    sets = {entry["name"]: entry for entry in tomllib.loads(given.list.read_text(encoding="utf-8"))["set"]}
    unknown = [name for name in given.only or [] if name not in sets]
    if unknown:
        parser.error(f"no set is called {', '.join(unknown)}; there are: {', '.join(sets)}")
    given.dir.mkdir(parents=True, exist_ok=True)
    lock_path = given.lock or given.dir / "data.lock.json"
    lock = json.loads(lock_path.read_text(encoding="utf-8")) if lock_path.exists() else {}
    rows, missing = [], 0
    for name in given.only or sets:
        try:
            found = fetch(sets[name], given.dir, lock, given.keep)
            print(f"{name}: {len(found)} files")
            rows += found
        except Failure as error:
            missing += 1
            print(f"{name}: not there: {error}", file=sys.stderr)
        write(lock_path, json.dumps(lock, indent=1, sort_keys=True) + "\n")
    with open(given.dir / "manifest.csv.part", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: row["file"]))
    (given.dir / "manifest.csv.part").rename(given.dir / "manifest.csv")
    print(f"{given.dir / 'manifest.csv'}: {len(rows)} files. Recordings under CC BY ask for attribution: models/ATTRIBUTION.md")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
