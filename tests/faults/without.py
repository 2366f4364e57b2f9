"""Takes each protection away in turn, in a copy of the tree, and shows that a test fails without it.

By hand: ``python -m tests.faults.without [WORD…]``; words choose the protections whose names hold them.
A test that passes all the same is an error. The table is cited in ``docs/faults.md``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PARTS = ("engine", "statecharts", "fixtures", "tests", "pyproject.toml", "conftest.py")


class Without(NamedTuple):
    """A protection, the text that makes it, what is put in its place, and the tests that must fail."""

    what: str
    file: str
    text: str
    instead: str
    tests: str


_TAMPERING, _PROCESSES = "tests/faults/test_tampering.py", "tests/faults/test_processes.py"
_KILL, _DAMAGE = "tests/faults/test_kill.py", "tests/faults/test_damage.py"
_MEDIA, _FUZZ = "tests/faults/test_media.py", "tests/fuzz"
_SCHEMA, _CONNECTION = "log/schema.py", "log/connection.py"

PROTECTIONS = (
    Without(
        "what a failed rebuild interned is gone",
        "session.py",
        "log = Log(self.own().log.db)",
        "log = self.own().log",
        "tests/test_replay.py -k interned",
    ),
    Without(
        "one set of definitions in each thread",
        "session.py",
        "intake = Intake(definitions, self.limits)",
        "intake = Intake(self.definitions, self.limits); definitions = self.definitions",
        "tests/test_replay.py -k folds_by_one_of_both",
    ),
    Without(
        "an altered stream teaches nothing",
        "courses.py",
        "if any(len(texts_of(event[6])) != self._facts.holes(event[5]) for event in events):",
        "if False:",
        "tests/test_courses.py -k altered_stream",
    ),
    Without(
        "the live table is found again after a rebuild",
        "projections.py",
        "if moved.rowcount != 1:",
        "if False:",
        "tests/test_answer.py -k behind_a_rebuild",
    ),
    Without(
        "one transaction for an event and its row",
        "ledger.py",
        "        touched = list(recording.streams.values())\n",
        '        reader.log.db.conn.execute("COMMIT")\n'
        '        reader.log.db.conn.execute("BEGIN IMMEDIATE")\n'
        "        touched = list(recording.streams.values())\n",
        f"{_KILL} -k within",
    ),
    Without(
        "guard against UPDATE",
        _SCHEMA,
        'for verb in ("UPDATE", "DELETE")',
        'for verb in ("DELETE",)',
        f"{_TAMPERING} -k plain_shell",
    ),
    Without(
        "guard against DELETE",
        _SCHEMA,
        'for verb in ("UPDATE", "DELETE")',
        'for verb in ("UPDATE",)',
        f"{_TAMPERING} -k plain_shell",
    ),
    Without(
        "guard against REPLACE",
        _SCHEMA,
        "WHEN {taken} BEGIN",
        "WHEN 0 BEGIN",
        f"{_TAMPERING} -k plain_shell",
    ),
    Without(
        "guard against replacing by another unique index",
        _SCHEMA,
        "OR NEW.repeats IS NULL AND EXISTS (",
        "OR 0 AND EXISTS (",
        f"{_TAMPERING} -k plain_shell",
    ),
    Without(
        "guards required at open",
        _CONNECTION,
        "            if guarded:",
        "            if False:",
        f"{_TAMPERING} -k guard_is_told",
    ),
    Without(
        "verify opens without guards",
        "cli/verify.py",
        "guarded=False",
        "guarded=True",
        f"{_TAMPERING} -k lists_missing_guards",
    ),
    Without(
        "foreign triggers told",
        _SCHEMA,
        "if table in _GUARDED and name not in wanted",
        "if False",
        f"{_TAMPERING} -k somebody_else",
    ),
    Without(
        "altered views and indexes told",
        "verify.py",
        "    yield from check_schema(log.db)\n",
        "",
        f"{_TAMPERING} -k views_and_indexes",
    ),
    Without(
        "hash chain compared",
        "verify.py",
        "if stored.link(previous) != stored.chain:",
        "if False:",
        f"{_TAMPERING} -k tampered_with",
    ),
    Without(
        "identity of the fields compared",
        "verify.py",
        "if not _says_what_was_recorded(stored):",
        "if False:",
        f"{_TAMPERING} -k tampered_with",
    ),
    Without(
        "number of the texts compared",
        "verify.py",
        "return len(values) == shape.holes and",
        "return",
        f"{_TAMPERING} -k tampered_with",
    ),
    Without(
        "positions without gaps",
        "verify.py",
        "if stored.position != expected:",
        "if False:",
        f"{_TAMPERING} -k leaves_a_gap",
    ),
    Without(
        "anchor compared",
        "verify.py",
        "anchor.hash != stored.chain.hex()",
        "False",
        f"{_TAMPERING} -k written_anew",
    ),
    Without(
        "end of the log compared with the anchor",
        "verify.py",
        "anchor.position >= expected",
        "False",
        f"{_TAMPERING} -k cut_back",
    ),
    Without(
        "projection compared with the fold",
        "verify.py",
        "if found != row:",
        "if False:",
        f"{_TAMPERING} -k edited_projection",
    ),
    Without(
        "events proven where they are shown",
        "verify.py",
        "        if wrong := _wrong(event, log.chain_at(event.position - 1)):",
        "        if wrong := None:",
        f"{_DAMAGE} -k 'proves or whatever'",
    ),
    Without(
        "the state proven where it is shown",
        "verify.py",
        "    if kept != next((row for _, _, row in folded), None):",
        "    if False:",
        f"{_DAMAGE} -k proves",
    ),
    Without(
        "indexes not trusted where a delivery is shown",
        "verify.py",
        "    if {event.stream for event in events} != {stream} or len(positions) != len(events):",
        "    if False:",
        f"{_DAMAGE} -k leads_elsewhere",
    ),
    Without(
        "projection folded again where it was taken away",
        "session.py",
        "if generation is None and Log(db).head()[0]:",
        "if False:",
        f"{_TAMPERING} -k taken_away",
    ),
    Without(
        "write lock from the start",
        _CONNECTION,
        '"BEGIN IMMEDIATE"',
        '"BEGIN"',
        f"{_PROCESSES} -k 10_000",
    ),
    Without(
        "waiting for the lock",
        _CONNECTION,
        "timeout=timeout, check_same_thread",
        "timeout=0, check_same_thread",
        f"{_PROCESSES} -k 10_000",
    ),
    Without(
        "tables made in one transaction",
        _CONNECTION,
        "    with immediate(db):\n        if not format_of",
        "    if True:\n        if not format_of",
        f"{_KILL} -k creation",
    ),
    Without(
        "connections of ended threads closed",
        "session.py",
        "if not thread.is_alive():\n                    left.close()\n"
        "            self._opened = [one for one in self._opened if one[0].is_alive()]\n",
        "pass\n",
        f"{_PROCESSES} -k come_and_go",
    ),
    Without(
        "the earliest reception, whatever the clock did",
        "courses.py",
        "course.row(stream_id, min(received),",
        "course.row(stream_id, received[0],",
        f"{_PROCESSES} -k steps_back",
    ),
    Without(
        "refused in a forked child",
        "session.py",
        "if os.getpid() != self._process:",
        "if False:",
        f"{_PROCESSES} -k forked",
    ),
    Without(
        "synced before it is acknowledged",
        _CONNECTION,
        'PRAGMA synchronous=FULL")',
        'PRAGMA synchronous=OFF")',
        f"{_MEDIA} -k synced",
    ),
    Without(
        "acknowledged only when recorded",
        "../../tests/faults/traffic.py",
        "        position = ledger.record(body(number)).event.position\n        # In",
        "        position = ledger.head()[0] + 1\n        # In",
        f"{_KILL} -k acknowledged",
    ),
    Without(
        "acknowledged only when durable",
        "../../tests/faults/test_kill.py",
        "            count = dice.choice((1, 1, 1, 7))\n",
        "            count = dice.choice((1, 1, 1, 7))\n"
        '            os.write(pipe, b"%d\\\\n" % (at + count))\n',
        f"{_KILL} -k in_a_row",
    ),
    Without(
        "rebuild beside the live rows",
        "replay.py",
        "generation = begun or projections.begin(db, definitions, log.head()[0])\n",
        "generation = begun or projections.begin(db, definitions, log.head()[0])\n"
        "        projections.switch(db, generation)\n",
        f"{_KILL} -k replay",
    ),
    Without(
        "rebuild catches up before it switches",
        "replay.py",
        "        while generation.position < log.head()[0]:\n",
        "        while False:\n",
        "tests/test_replay.py -k 'interrupted or threads'",
    ),
    Without(
        "what was interned in a failed transaction forgotten",
        "session.py",
        "                self._renew(reader.log.db)\n                raise",
        "                raise",
        f"{_MEDIA} -k now_and_then",
    ),
    Without(
        "rolled back where the commit fails",
        _CONNECTION,
        'conn.execute("COMMIT")\n        except BaseException:\n            if conn.in_transaction:',
        'conn.execute("COMMIT")\n        except BaseException:\n            if False:',
        "tests/test_connection.py -k commit_that_fails",
    ),
    Without(
        "errors of SQLite told in one line",
        _CONNECTION,
        "raise _meaning(path, error) from error",
        "raise",
        f"{_DAMAGE} {_MEDIA}",
    ),
    Without(
        "damaged names told in one line",
        _CONNECTION,
        "except UnicodeDecodeError as error:",
        "except ZeroDivisionError as error:",
        f"{_DAMAGE} -k damaged_schema",
    ),
    Without(
        "damaged texts told with their position",
        "log/sqlite.py",
        "except (IntegrityError, *DAMAGE) as error:",
        "except ZeroDivisionError as error:",
        f"{_TAMPERING} -k tampered_with",
    ),
    Without(
        "values of no possible type told in one line",
        "session.py",
        "except (AssertionError, AttributeError, OverflowError, *DAMAGE) as error:",
        "except ZeroDivisionError as error:",
        f"{_DAMAGE} -k possible_type",
    ),
    Without(
        "marks of the projection compared",
        "verify.py",
        "if generation.version != projections.version_of(definitions):",
        "if False:",
        f"{_TAMPERING} -k marked_as_made",
    ),
    Without(
        "blocks compared with the log",
        "verify.py",
        "if with_blocks:",
        "if False:",
        "tests/test_blocks.py -k damaged_block",
    ),
    Without(
        "streams that events came to folded from the log",
        "spans.py",
        "changed = frozenset(log.changed(block.first - 1, block.last, block.position))",
        "changed = set[int]()",
        "tests/test_blocks.py -k not_read_from_the_log",
    ),
    Without(
        "a forged kind teaches no course",
        "spans.py",
        "if kind_of(stream, facts) == kind and all_texts(stream) == texts:",
        "if True:",
        "tests/test_blocks.py -k teaches_no_course",
    ),
    Without(
        "a replay reads nothing but the log",
        "replay.py",
        "islice(rows_of(log, facts",
        "islice(__import__('postledger.spans').spans.folded(log, facts",
        "tests/test_blocks.py -k forged_text",
    ),
    Without(
        "read-only media read",
        _CONNECTION,
        "if readonly and _at_rest(path):",
        "if False:",
        f"{_MEDIA} -k read_only_medium",
    ),
    Without(
        "foreign databases refused",
        _CONNECTION,
        "if db.table_names() and not format_of(db):",
        "if False:",
        f"{_DAMAGE} -k another_program",
    ),
    Without(
        "newer formats refused",
        _CONNECTION,
        "if format_of(db) > FORMAT:",
        "if False:",
        f"{_DAMAGE} -k newer_format",
    ),
    Without(
        "older formats brought up to this",
        _CONNECTION,
        "if not readonly and format_of(db) < FORMAT:",
        "if False:",
        "tests/test_connection.py -k older_format",
    ),
    Without(
        "older formats read as they are",
        "blocks.py",
        "return format_of(db) >= BLOCKS_SINCE",
        "return True",
        "tests/test_connection.py -k older_format",
    ),
    Without(
        "nothing kept in memory of what was recorded",
        "session.py",
        "                with immediate(reader.log.db):\n",
        "                globals().setdefault('kept', []).append(b'x' * 40_000 + os.urandom(9))\n"
        "                with immediate(reader.log.db):\n",
        "tests/soak/test_soak.py",
    ),
    Without(
        "unreadable bodies kept",
        "intake.py",
        "except ReadError as error:",
        "except ZeroDivisionError as error:",
        _FUZZ,
    ),
    Without(
        "half characters refused",
        "intake.py",
        "except UnicodeEncodeError:",
        "except ZeroDivisionError:",
        _FUZZ,
    ),
    Without(
        "events that no list shows told",
        "verify.py",
        "if expected <= log.head()[0]:",
        "if False:",
        f"{_TAMPERING} -k no_list_shows",
    ),
    Without(
        "events that no chain covers told",
        "verify.py",
        "if lowest is not None and lowest < 1:",
        "if False:",
        f"{_TAMPERING} -k before_the_first",
    ),
    Without(
        "times out of reach told",
        "verify.py",
        "if not (is_moment(stored.received_at) and (undated or is_moment(stored.occurred_at))):",
        "if False:",
        f"{_TAMPERING} -k no_date_can_tell",
    ),
    Without(
        "half an export not left behind",
        "packed.py",
        'partial = target.with_name(f".{token_hex(8)}{suffix}")',
        "partial = target",
        "tests/test_interchange.py -k export_that_fails",
    ),
    Without(
        "numbers out of reach told",
        _CONNECTION,
        "except OverflowError as error:",
        "except ZeroDivisionError as error:",
        f"{_DAMAGE} -k no_possible_type",
    ),
    Without(
        "damaged shapes told",
        "log/sqlite.py",
        "all(text is None or isinstance(text, str) for text in texts)",
        "True",
        f"{_DAMAGE} -k no_possible_type",
    ),
    Without(
        "a damaged event told where its stream is written to",
        "recording.py",
        "except TypeError as error:",
        "except ZeroDivisionError as error:",
        f"{_DAMAGE} -k no_possible_type",
    ),
    Without(
        "a course not taken by a damaged event",
        "courses.py",
        "except (IntegrityError, AttributeError, *DAMAGE):",
        "except ZeroDivisionError:",
        f"{_DAMAGE} -k no_possible_type",
    ),
    Without(
        "blocks of what the log has not told",
        "blocks.py",
        "(block.last > newest or block.position > head)",
        "False",
        "tests/test_blocks.py -k has_not",
    ),
    Without(
        "limits kept where bodies are read again",
        "rereading.py",
        "wire.read(stored.body, stored.content_type, limits)",
        "wire.read(stored.body, stored.content_type)",
        "tests/test_replay.py -k beyond_the_limits",
    ),
    Without(
        "half characters neither kept nor found",
        _CONNECTION,
        "except UnicodeEncodeError as error:",
        "except ZeroDivisionError as error:",
        "tests/test_ledger.py -k half_a_character",
    ),
    Without(
        "bodies given back exactly",
        "log/shapes.py",
        'text[end : leaf.start(2)].replace("%", "%%")',
        "text[end : leaf.start(2)]",
        "tests/test_shapes.py -k template",
    ),
)


def main(*words: str) -> None:
    """Try the protections; exit 1 where a test did not fail."""
    idle = []
    for without in PROTECTIONS:
        if not words or any(word in without.what for word in words):
            said = attempt(without)
            print(f"{without.what}: {said}", flush=True)
            if not said.startswith("failed"):
                idle.append(without.what)
    if idle:
        sys.exit("without these no test failed: " + "; ".join(idle))


def attempt(without: Without) -> str:
    """Run the tests without a protection: ``failed`` and which, or what went otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, tree / part)
        file = tree / "engine/postledger" / without.file
        source_text = file.read_text()
        file.write_text(source_text.replace(without.text, without.instead))
        failed = list(_failed(tree, without.tests))
    return f"failed {', '.join(failed)}" if failed else "PASSED"


def _failed(tree: Path, tests: str) -> Iterator[str]:
    done = subprocess.run(
        f"{sys.executable} -m pytest -q -p no:cacheprovider --tb=no --maxfail=3 {tests}",
        shell=True,
        cwd=tree,
        env={
            **os.environ,
            "PYTHONPATH": f"{tree}/engine:{tree}",
            "POSTLEDGER_NO_SHRINK": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # Any other code is that of a tree that is broken: its tests did not even begin.
    for line in done.stdout.splitlines() if done.returncode == 1 else ():
        if line.startswith(("FAILED", "ERROR")):
            yield line.split("::")[-1].split(" - ")[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
