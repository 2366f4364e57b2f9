"""Clients that post at once, and what a trace of the server says of when it answered them."""

from __future__ import annotations

import codecs
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path

from postledger import Ledger
from tests.samples import delivered, sent

CLIENTS = 8


def posted(number: int) -> bytes:
    """The body of that number: each delivery is sent, and some time later delivered."""
    block, at = divmod(number, 40)
    make = sent if at < 20 else delivered
    return make(f"U{block}x{at % 20}", MMSID=f"N{number}N")


_NUMBER = re.compile(rb"<MMSID>(N\d+N)</")


class Clients:
    """Clients that go on posting, each body once, whether they are answered or not.

    ``answers`` has the status for each body that was answered, ``counts`` how many there are of each,
    ``given`` is how many bodies were posted.
    """

    def __init__(self) -> None:
        self.answers: dict[bytes, int] = {}
        self.counts: Counter[int] = Counter()
        self.given = 0
        self._numbers = count()
        self._changed = threading.Condition()

    @contextmanager
    def posting(self, port: int, clients: int = CLIENTS) -> Iterator[None]:
        """Post to a server until the end of the block; whoever finds it gone tries again."""
        ended = threading.Event()
        threads = [threading.Thread(target=self._post, args=(port, ended)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def wait(self, status: int, more: int = 1) -> None:
        """Wait until so many more answers of that status came."""
        with self._changed:
            until = self.counts[status] + more
            assert self._changed.wait_for(lambda: self.counts[status] >= until, 60), self.counts

    def recorded(self) -> set[bytes]:
        """What was answered with 200."""
        return {body for body, status in self.answers.items() if status == 200}

    def _post(self, port: int, ended: threading.Event) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while not ended.is_set():
            with self._changed:
                body = posted(next(self._numbers))
                self.given += 1
            try:
                connection.request("POST", "/skycore", body)
                answer = connection.getresponse()
                answer.read()
            except (OSError, HTTPException):
                connection.close()
                time.sleep(0.005)
                continue
            with self._changed:
                self.answers[body] = answer.status
                self.counts[answer.status] += 1
                self._changed.notify_all()
            if answer.status != 200:
                time.sleep(0.01)
        connection.close()


def check(path: Path, clients: Clients) -> int:
    """The ledger is sound, has what was answered with 200, and nothing twice or made up; its size."""
    with Ledger(path) as ledger:
        found = ledger.verify()
        assert found.problems == ()
        bodies = [event.body for event in ledger.events(after=0)]
    kept = set(bodies)
    assert len(bodies) == len(kept)
    assert clients.recorded() <= kept
    assert kept <= set(map(posted, range(clients.given)))
    return len(bodies)


# --- what a trace says ---

_SYNCS, _READS = ("fdatasync", "fsync"), ("read", "recvfrom")
_WRITES = ("write", "writev", "sendto", "sendmsg")
TRACED = ",".join((*_SYNCS, "pwrite64", *_READS, *_WRITES))
"""The calls by which a server reads, writes to the ledger, syncs it and answers."""

_TEXT = r'"((?:[^"\\]|\\.)*)"'
_CALL = re.compile(rf"(\d+) +(\w+)\(\d+<([^>]*)>(?:, (?:\[\{{iov_base=)?{_TEXT})?")
_READ = re.compile(rf"(\d+) +<\.\.\. (?:read|recvfrom) resumed>{_TEXT}")
_ENDED = re.compile(r"(\d+) +(?:<\.\.\. )?f(?:data)?sync\b.*\) += (-?\d+)")
_FRAME_HEAD, _FILE_HEAD = 24, 32
"""Bytes of the heads of a frame and of the whole write-ahead file."""


class Trace:
    """What a trace by ``strace -f -y`` says, which has whole pages.

    A group is what is written to the write-ahead file until a frame that commits. What was asked is in
    the pages of the first group that has it, and may be answered once that group was synced.
    ``answered`` counts the answers of 200, ``early`` are those that came before that.
    """

    def __init__(self, ahead: Path, lines: Iterable[str]) -> None:
        self.answered = 0
        self.early: list[str] = []
        self._ahead = str(ahead)
        self._commits = False
        self._committed = 0
        self._synced: set[int] = set()
        self._failed: set[int] = set()
        self._asked: dict[str, bytes] = {}
        self._group_of: dict[bytes, int] = {}
        self._writing: set[bytes] = set()
        self._since: dict[str, int] = {}
        files: dict[str, str] = {}
        for line in lines:
            if begun := _CALL.match(line):
                thread, call, file, text = begun.groups()
                files[thread] = file
                self._begun(thread, call, file, text or "", line)
            elif read := _READ.match(line):
                thread, text = read.groups()
                self._begun(thread, "read", files[thread], text, line)
            if (ended := _ENDED.match(line)) and ended[1] in self._since:
                self._ended(ended[1], succeeded=ended[2] == "0")

    def _begun(self, thread: str, call: str, file: str, text: str, line: str) -> None:
        data, _ = codecs.escape_decode(text.encode())
        if call in _SYNCS and file == self._ahead:
            self._since[thread] = self._committed
        elif call == "pwrite64" and file == self._ahead:
            self._write(data)
        elif call in _READS and (said := _NUMBER.search(data)):
            self._asked[file] = said[1]
        elif call in _WRITES and data.startswith(b"HTTP/1.1 "):
            asked = self._asked.pop(file, b"")
            if data.startswith(b"HTTP/1.1 200 "):
                self.answered += 1
                if self._group_of.get(asked) not in self._synced:
                    self.early.append(line[:120])

    def _write(self, data: bytes) -> None:
        if len(data) == _FRAME_HEAD:
            # The size of the database, where the frame commits.
            self._commits = data[4:8] != bytes(4)
        elif len(data) > _FILE_HEAD:
            self._writing.update(asked for asked in self._asked.values() if asked in data)
            if self._commits:
                self._committed += 1
                for asked in self._writing:
                    self._group_of.setdefault(asked, self._committed)
                self._writing.clear()

    def _ended(self, thread: str, *, succeeded: bool) -> None:
        until = range(1, self._since.pop(thread) + 1)
        if succeeded:
            self._synced.update(set(until) - self._failed)
        else:
            # What a sync has failed for, no later one proves.
            self._failed.update(set(until) - self._synced)
