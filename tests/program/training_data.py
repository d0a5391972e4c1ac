"""models/fetch.py on small archives that a server on the loopback gives: python3 tests/program/training_data.py"""

import contextlib
import csv
import hashlib
import http.server
import importlib.util
import io
import json
import pathlib
import tarfile
import tempfile
import threading
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("fetch", ROOT / "models" / "fetch.py")
fetch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fetch)

COMMIT = "5a" * 20


def tar(files, commit=None, links=()):
    out = io.BytesIO()
    headers = {"comment": commit} if commit else {}
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        ranged = self.headers.get("Range")
        server.asked.append((self.path, ranged))
        if self.path in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[self.path])
            self.end_headers()
            return
        data = server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        etag = '"' + hashlib.sha256(data).hexdigest()[:8] + '"'
        if self.path == "/chunks":
            # ends before its last chunk
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(data) + data[:10])
            return
        start = 0
        if ranged and self.headers.get("If-Range") == etag:
            start = int(ranged.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = server.break_at.pop(self.path, len(data))
        self.wfile.write(data[start:end])

    def log_message(self, *_):
        pass


class Fetch(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.files, self.server.moved, self.server.break_at, self.server.asked = {}, {}, {}, []
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def run_on(self, text, *arguments, folder="out"):
        """Exit code and what was printed."""
        (self.home / "list.toml").write_text(text)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = fetch.main([str(self.home / folder), "--list", str(self.home / "list.toml"), *arguments])
        return code, said.getvalue()

    def rows(self, folder="out"):
        with open(self.home / folder / "manifest.csv", newline="") as file:
            return list(csv.DictReader(file))

    def of_archive(self, path, data, take="{ files = '.*\\.wav', licence = \"CC0-1.0\" }", more="", name="one"):
        self.server.files[path] = data
        return f'[[set]]\nname = "{name}"\nurl = "{self.base}{path}"\ntake = [{take}]\n{more}\n'

    def test_rows_licences_and_splits(self):
        table = b"- [1-1-A.ogg]: x (http://www.freesound.org/1/) by a [CC0]\n- [1-2-A.ogg]: x (http://www.freesound.org/2/) by b [CC-BY-NC]\n" \
                b"- [5-3-A.ogg]: x (http://www.freesound.org/3/) by c [CC-BY]\n"
        files = {"top/LICENSE": table} | {f"top/audio/{clip}-0.wav": clip.encode() for clip in ["1-1-A", "1-2-A", "1-9-A", "5-3-A"]}
        self.server.files[f"/me/sounds/archive/HEAD.tar.gz"] = tar(files, COMMIT)
        listed = (ROOT / "models" / "data.toml").read_text()
        first = listed[listed.index("[[set]]"):listed.index("[[set]]", listed.index("[[set]]") + 1)]
        own = first.replace('github = "karolpiczak/ESC-50"', f'github = "me/sounds"\nserver = "{self.base}"')
        code, said = self.run_on(own)
        self.assertEqual(code, 0, said)
        rows = [(row["file"], row["split"], row["licence"], row["source"]) for row in self.rows()]
        self.assertEqual(rows, [("esc50/audio/1-1-A-0.wav", "train", "CC0-1.0", "http://www.freesound.org/1/"),
                                ("esc50/audio/5-3-A-0.wav", "eval", "CC-BY", "http://www.freesound.org/3/")])
        self.assertEqual((self.home / "out/esc50/audio/1-1-A-0.wav").read_bytes(), b"1-1-A")
        # the lock names the commit, and another folder gets that one
        lock = json.loads((self.home / "out/data.lock.json").read_text())["esc50"]
        self.assertEqual((lock["commit"], lock["bytes"]), (COMMIT, len(self.server.files["/me/sounds/archive/HEAD.tar.gz"])))
        pinned = f"/me/sounds/archive/{COMMIT}.tar.gz"
        self.server.files[pinned] = self.server.files["/me/sounds/archive/HEAD.tar.gz"]
        self.server.files["/me/sounds/archive/HEAD.tar.gz"] = tar({"top/LICENSE": table})
        code, said = self.run_on(own, "--lock", str(self.home / "out/data.lock.json"), folder="other")
        self.assertEqual((code, self.server.asked[-1][0]), (0, pinned), said)

    def test_what_is_there_is_not_fetched_again(self):
        text = self.of_archive("/a.tgz", tar({"a/x.wav": b"x", "a/readme": b"r"}))
        self.assertEqual(self.run_on(text)[0], 0)
        self.assertEqual(self.run_on(text)[0], 0)
        self.assertEqual((len(self.server.asked), [row["file"] for row in self.rows()]), (1, ["one/x.wav"]))
        left = sorted(path.name for path in (self.home / "out").iterdir())
        self.assertEqual(left, ["data.lock.json", "manifest.csv", "one", "one.rows.json"])

    def test_a_download_that_broke_off_goes_on(self):
        data = tar({"a/x.wav": bytes(range(256)) * 40})
        text = self.of_archive("/a.tgz", data, more=f'sha256 = "{hashlib.sha256(data).hexdigest()}"')
        self.server.break_at["/a.tgz"] = 100
        code, said = self.run_on(text)
        self.assertTrue(code == 1 and "broken off after 100" in said, said)
        code, said = self.run_on(text)
        self.assertEqual((code, self.server.asked[-1][1]), (0, "bytes=100-"), said)
        # another version in the meantime: from the start
        text = self.of_archive("/b.tgz", data, name="two")
        self.server.break_at["/b.tgz"] = 100
        self.run_on(text)
        self.server.files["/b.tgz"] = tar({"a/y.wav": b"another"})
        code, said = self.run_on(text)
        self.assertEqual((code, [row["file"] for row in self.rows()]), (0, ["two/y.wav"]), said)

    def test_another_archive_than_recorded_is_refused(self):
        data = tar({"a/x.wav": b"x"})
        text = self.of_archive("/a.tgz", data, more=f'sha256 = "{"0" * 64}"')
        code, said = self.run_on(text)
        self.assertTrue(code == 1 and "another archive than the one recorded" in said, said)
        self.assertFalse((self.home / "out/one").exists() or (self.home / "out/one.archive").exists())
        # first seen, then changed
        text = self.of_archive("/a.tgz", data)
        self.assertEqual(self.run_on(text, folder="first")[0], 0)
        self.server.files["/a.tgz"] = tar({"a/x.wav": b"changed"})
        code, said = self.run_on(text, "--lock", str(self.home / "first/data.lock.json"), folder="second")
        self.assertTrue(code == 1 and "delete `one` from the lock file" in said, said)

    def test_paths_that_lead_elsewhere_are_refused(self):
        evil = [("../../evil.wav", []), ("a/../../../evil.wav", []), ("/tmp/evil.wav", []), ("a\\..\\evil.wav", [])]
        for number, (path, _) in enumerate(evil):
            text = self.of_archive(f"/{number}.tgz", tar({"top/fine.wav": b"x", path: b"evil"}), name=f"set{number}")
            code, said = self.run_on(text)
            self.assertTrue(code == 1 and "leads elsewhere" in said, f"{path}: {said}")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("top/../../evil.wav", b"evil")
        code, said = self.run_on(self.of_archive("/z.zip", out.getvalue(), name="zipped"))
        self.assertTrue(code == 1 and "leads elsewhere" in said, said)
        # a link is left out, and what would go through it lands in a folder of its name
        links = tar({"top/in/x.wav": b"x"}, links=[("top/out.wav", "/etc/passwd"), ("top/in", "/tmp")])
        code, said = self.run_on(self.of_archive("/l.tgz", links, name="linked"))
        self.assertEqual((code, [row["file"] for row in self.rows()]), (0, ["linked/in/x.wav"]), said)
        self.assertEqual(list(self.home.rglob("evil*")), [])
        self.assertFalse((self.home / "out/linked/out.wav").is_symlink())

    def test_other_addresses_and_other_contents_are_refused(self):
        self.server.moved["/a.tgz"] = "http://example.invalid/a.tgz"
        for text, word in [
            (self.of_archive("/a.tgz", b""), "only https"),
            ('[[set]]\nname = "f"\nurl = "file:///etc/passwd"\ntake = []\n', "only https"),
            (self.of_archive("/none.tgz", tar({"a/x.flac": b"x"}), name="two"), "nothing in the archive"),
            (self.of_archive("/text.tgz", b"no archive" * 99, name="three"), "damaged or not readable"),
            (self.of_archive("/chunks", tar({"a/x.wav": b"x" * 100}), name="chunks"), "broken off"),
            (f'[[set]]\nname = "gone"\nurl = "{self.base}/gone"\ntake = []\n', "404"),
            ('[[set]]\nname = "page"\npage = "https://example.invalid/"\nnote = "ask there"\n', "ask there"),
        ]:
            code, said = self.run_on(text)
            self.assertTrue(code == 1 and word in said, said)

    def test_the_list_of_the_project(self):
        """Names, licences and expressions of models/data.toml are whole, and its licences those of the card."""
        listed = fetch.tomllib.loads((ROOT / "models" / "data.toml").read_text())["set"]
        self.assertEqual(len({entry["name"] for entry in listed}), len(listed))
        card = (ROOT / "models" / "README.md").read_text() + (ROOT / "models" / "ATTRIBUTION.md").read_text()
        for entry in listed:
            where = entry.get("github") or entry.get("url") or entry["page"]
            self.assertIn(where, card, entry["name"])
            for take in entry.get("take", []):
                fetch.re.compile(take["files"])
                self.assertTrue("licence" in take or "licences" in entry, entry["name"])
                licence = take.get("licence", "")
                self.assertNotIn("NC", licence)
                self.assertNotIn("SA", licence)


if __name__ == "__main__":
    unittest.main()
