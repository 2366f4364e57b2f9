"""Takes each protection away in turn, in a copy of the tree, and shows that a test fails without it.

By hand: ``python -m tests.faults.without [WORD…]``; words choose the protections whose names hold them.
A test that passes all the same is an error. The table is cited in ``docs/faults.md``.

In the engine a comment ``# guard: NAME`` stands above what makes a protection; here stands what is
written there, what is put in its place, and which tests must then fail. Modules may be renamed and
moved: a marker is looked for in all of ``engine/``. ``test_without`` holds the two together.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PARTS = ("engine", "statecharts", "fixtures", "tests", "pyproject.toml", "conftest.py")
MARKER = re.compile(r"^[ ]*# guard: (.+)\n", re.MULTILINE)
REACH = 400
"""So many characters after its marker a protection stands."""


class Without(NamedTuple):
    """A protection, the text that makes it, what is put in its place, and the tests that must fail."""

    guard: str
    text: str
    instead: str
    tests: str


_TAMPERING, _PROCESSES = "tests/faults/test_tampering.py", "tests/faults/test_processes.py"
_KILL, _DAMAGE = "tests/faults/test_kill.py", "tests/faults/test_damage.py"
_MEDIA, _CLOSING = "tests/faults/test_media.py", "tests/faults/test_closing.py"
_SERVER, _POSTGRES = "tests/faults/test_server.py", "tests/store/test_postgres.py"
_TALLIES = "tests/projections/test_tallies.py"
_CUSTOM, _AIO = "tests/projections/test_custom.py", "tests/ledger/test_aio.py"
_REPLAY = "tests/projections/test_replay.py"
_GROUP, _TURN = "tests/ledger/test_group.py", "tests/store/test_turn.py"
_GROWTH, _MASK = "tests/wire/test_growth.py", "tests/audit/test_mask.py"
_WRITING, _FUZZ = "tests/faults/test_writing.py", "tests/fuzz/test_record.py"

_POSTING = "tests/faults/test_posting.py"
_OUTBOX, _FORWARDER = "tests/server/test_outbox.py", "tests/server/test_forwarder.py"
_RECEIVER, _SERVING = "tests/server/test_receiver.py", "tests/server/test_serving.py"
_ATTACKS = "tests/console/test_attacks.py"
_MOUNTED = "tests/console/test_serving.py"
_CONSOLE, _PANELS = "tests/console/test_console.py", "tests/console/test_panels.py"
_ACCESS = "tests/console/test_access.py"
_SENDERS, _ADDRESSES = "tests/server/test_senders.py", "tests/server/test_addresses.py"

PROTECTIONS = (
    # the server
    Without(
        "what acts by itself is what this program makes",
        "sound = _is_sound_guard(rests) if",
        "sound = True if",
        f"{_POSTGRES} -k would_lose",
    ),
    Without(
        "tables that lose or hide rows are refused",
        "if (losing := store.losing()) is not None:",
        "if (losing := None) is not None:",
        f"{_POSTGRES} -k would_lose",
    ),
    Without(
        "what a server says it committed is there",
        "done and (self.written is None or self.written())",
        "done",
        f"{_SERVER} -k must_have_it",
    ),
    Without(
        "a pooler between is refused",
        "if server != conn.info.backend_pid:",
        "if False:",
        f"{_POSTGRES} -k pooler",
    ),
    Without(
        "values go to the server and come back as they are",
        "SET client_encoding = 'UTF8'; SET array_nulls = on;",
        "",
        f"{_POSTGRES} -k settings",
    ),
    Without(
        "synced before it is acknowledged on a server",
        "synchronous_commit = on",
        "synchronous_commit = off",
        f"{_SERVER} -k servers",
    ),
    Without(
        "a server that may lose what it acknowledged is refused",
        'if row != ("on",):',
        "if False:",
        f"{_SERVER} -k may_lose",
    ),
    Without(
        "a snapshot is never older than the lock",
        "READ COMMITTED",
        "REPEATABLE READ",
        f"{_SERVER} -k before_the_lock",
    ),
    Without(
        "a commit without an answer is settled",
        "self._settled(xid, error)",
        "False",
        f"{_SERVER} -k answer_is_lost",
    ),
    Without(
        "no statement runs outside of the transaction that it is of",
        "unused, self._unused = self._unused, False",
        "unused = True",
        f"{_SERVER} -k servers",
    ),
    Without(
        "a server that was behind is refused",
        "if position >= 0 and (",
        "if False and (",
        f"{_SERVER} -k was_behind",
    ),
    Without(
        "foreign schemas refused",
        "if catalog.objects(conn, schema):",
        "if False:",
        f"{_POSTGRES} -k foreign",
    ),
    Without(
        "no UPDATE, DELETE or TRUNCATE on a server",
        '("UPDATE", "DELETE", "TRUNCATE")',
        '("UPDATE",)',
        f"{_POSTGRES} -k append_only",
    ),
    Without(
        "guards that no role turns off",
        "ENABLE ALWAYS TRIGGER",
        "ENABLE TRIGGER",
        f"{_POSTGRES} -k append_only",
    ),
    # the file
    Without(
        "no UPDATE and no DELETE", '("UPDATE", "DELETE")', '("DELETE",)', f"{_TAMPERING} -k plain"
    ),
    Without("no REPLACE", "WHEN {taken}", "WHEN 0", f"{_TAMPERING} -k plain"),
    Without(
        "no REPLACE by another unique index",
        "OR EXISTS (",
        "OR 0 AND EXISTS (",
        f"{_TAMPERING} -k plain",
    ),
    Without(
        "guards required at open",
        "if self._guarded:",
        "if False:",
        f"{_TAMPERING} -k changed_guard",
    ),
    Without(
        "only a trigger is a guard",
        'if (kind, name) in wanted or (kind == "trigger" and name in guards):',
        "if (kind, name) in wanted or name in guards:",
        f"{_TAMPERING} -k views_and_indexes",
    ),
    Without(
        "foreign triggers reported",
        "if table in TABLES and name not in wanted",
        "if False",
        f"{_TAMPERING} -k somebody_else",
    ),
    Without(
        "write lock from the start", '"BEGIN IMMEDIATE"', '"BEGIN"', f"{_PROCESSES} {_CLOSING}"
    ),
    Without(
        "synced before it is acknowledged",
        "synchronous=FULL",
        "synchronous=OFF",
        f"{_MEDIA} -k synced",
    ),
    Without("waiting for the lock", "timeout=timeout", "timeout=0", f"{_PROCESSES} -k overlapping"),
    Without(
        "the file is the one that was opened",
        "require_identity(self.path, self.file, self.kind, writing=True)",
        "pass",
        f"{_CLOSING} -k no_longer_there",
    ),
    Without(
        "an open ledger is never made again",
        "require_identity(path, file, kind)",
        "file = None",
        f"{_CLOSING} -k never_made_again",
    ),
    Without(
        "no new file beside the events of another",
        "if _size(ahead) and not _size(path):",
        "if False:",
        f"{_CLOSING} -k write_ahead_log_of_a_ledger_that_is_gone",
    ),
    Without(
        "its write-ahead log too",
        "if ahead != self._ahead:",
        "if False:",
        f"{_CLOSING} -k no_longer_there",
    ),
    Without(
        "tables made in one transaction",
        "with store.write():",
        "if True:",
        f"{_KILL} -k creation",
    ),
    Without(
        "read-only media read",
        'if mode == "ro" and _at_rest(path):',
        "if False:",
        f"{_MEDIA} -k read_only_medium",
    ),
    Without(
        "foreign databases refused",
        "if store.db.table_names() and not format_of(store):",
        "if False:",
        f"{_DAMAGE} -k another_program",
    ),
    Without(
        "other formats refused",
        "if format_of(store) != kind.format:",
        "if False:",
        f"{_DAMAGE} -k newer_format",
    ),
    Without(
        "errors of SQLite in one line",
        "raise _meaning(path, kind, error) from error",
        "raise",
        f"{_DAMAGE} -m 'not long'",
    ),
    Without(
        "damaged names in one line",
        "except UnicodeDecodeError as error:",
        "except ZeroDivisionError as error:",
        f"{_DAMAGE} -k damaged_schema",
    ),
    Without(
        "numbers out of reach in one line",
        "raise IntegrityError(",
        "raise OverflowError(",
        "tests/store/test_sqlite.py -k out_of_reach",
    ),
    Without(
        "no duration beyond the longest is counted",
        "<= LONGEST",
        "",
        f"{_TALLIES} -k can_not_be_true",
    ),
    Without(
        "a failing disk fails the whole transaction",
        "return code is not None and code & 0xFF in _OF_MEDIUM",
        "return False",
        f"{_WRITING} -k failing_disk",
    ),
    Without(
        "a failing disk stops no projection",
        "if is_of_medium(error) or not store.in_transaction:",
        "if not store.in_transaction:",
        f"{_CUSTOM} -k disk",
    ),
    Without(
        "what another replay left is checked",
        "damaged = found and not follows(work.reader(generation), generation)",
        "damaged = False",
        "tests/faults/test_schema.py -k unfinished",
    ),
    Without(
        "texts are plain where they stand",
        "if stored.template_id not in split or not template.takes(texts):",
        "if False:",
        f"{_TAMPERING} -k swallows",
    ),
    Without(
        "no table of the ledger's own is a projection's",
        "or any(is_own(name) for name in names)",
        "or False",
        f"{_TAMPERING} -k projections_tables",
    ),
    # the log
    Without(
        "leaves compared",
        "if stored.computed_leaf() != stored.leaf:",
        "if False:",
        f"{_TAMPERING} -k tampered_with",
    ),
    Without(
        "positions without gaps",
        "if stored.position != expected:",
        "if False:",
        f"{_TAMPERING} -k leaves_a_gap",
    ),
    Without(
        "positions from 0",
        "if start.lowest != 0:",
        "if False:",
        f"{_TAMPERING} -k before_the_first",
    ),
    Without(
        "nodes compared", "if row != (node,):", "if False:", f"{_TAMPERING} -k tree_with_its_leaves"
    ),
    Without(
        "the head compared",
        "if start.kept != (0, frontier.size, frontier.to_bytes(), adoption):",
        "if False:",
        f"{_TAMPERING} -k tree_with_its_leaves",
    ),
    Without(
        "the anchor compared",
        "if frontier.root().hex() != anchor.root:",
        "if False:",
        f"{_TAMPERING} -k tail_rewritten",
    ),
    Without(
        "the end compared with the anchor",
        "if anchor is not None and anchor.size > expected:",
        "if False:",
        f"{_TAMPERING} -k cut_back",
    ),
    Without(
        "the schema compared",
        "yield from _until_error(store, _of_schema(store))",
        "yield from ()",
        f"{_TAMPERING} -k views_and_indexes",
    ),
    Without(
        "a template is what was interned",
        " or template.digest != digest",
        "",
        f"{_WRITING} -k forged_template",
    ),
    Without(
        "a damaged template takes no more bodies",
        " or not _is_sound(*row)",
        "",
        f"{_WRITING} -k damaged_template",
    ),
    Without(
        "a template gives the body back",
        "if admitted.fill(varying) != receipt.body:",
        "if False:",
        f"{_WRITING} -k give_it_back",
    ),
    Without(
        "definitions are what was adopted",
        "if definitions.hash != hashed:",
        "if False:",
        f"{_TAMPERING} -k not_adopted",
    ),
    Without(
        "no body imitates a statement",
        "statement = envelope.kind == Kind.STATEMENT",
        "statement = True",
        f"{_TAMPERING} -k taken_for_a_statement",
    ),
    Without(
        "what is unverified says nothing",
        "if not envelope.is_verified:",
        "if False:",
        "tests/ledger/test_senders.py -k forged_copy",
    ),
    Without(
        "no stranger fills the table of envelopes",
        "if not envelope.is_verified:",
        "if False:",
        "tests/ledger/test_senders.py -k fill_no_table",
    ),
    Without(
        "pages of a server are looked into",
        "yield from _of_pages(conn, schema)",
        "pass",
        "tests/faults/test_pages.py -k amcheck_finds",
    ),
    Without(
        "no more of a page comes from a server than it may have",
        "(*parameters, most, PAGE_BYTES)",
        "(*parameters, most, 1 << 40)",
        "tests/ledger/test_copying.py -k few_events",
    ),
    Without(
        "what is copied is what was received",
        "if row[8] != stored.leaf:",
        "if False:",
        "tests/ledger/test_copying.py -k not_what_was_received",
    ),
    Without(
        "what is archived is what was received",
        "if stored.computed_leaf() != stored.leaf:",
        "if False:",
        "tests/lake/test_archive.py -k is_not_archived",
    ),
    Without(
        "files of an archive compared with their hashes",
        "if is_new and self.folder.digest_of(name) != known.sha256:",
        "if False:",
        "tests/lake/test_archive.py -k another_hash",
    ),
    Without(
        "no bucket of an archive is passed over",
        "not least <= count <= _MOST:",
        "False:",
        "tests/lake/test_archive.py -k hostile_manifest",
    ),
    Without(
        "files of an archive are in its folder",
        "if not _NAME.fullmatch(name):",
        "if False:",
        "tests/lake/test_archive.py -k hostile_manifest",
    ),
    Without(
        "files that an archive doesn't have are named",
        "for name in sorted({*files.folder.names(), *files.manifest.files} - known):",
        "for name in ():",
        "tests/lake/test_archive.py -k no_file_of_it",
    ),
    Without(
        "one run writes an archive",
        'lock = Lock(path, f"{self.name}: another run writes there", "archive as its owner")',
        "from contextlib import nullcontext as lock; lock.close = str",
        "tests/lake/test_archive.py -k two_runs",
    ),
    Without(
        "what a run of another ledger began is left alone",
        "if begun.ledger != work.ledger.hex():",
        "if False:",
        "tests/lake/test_archive.py -k of_a_killed_run",
    ),
    Without(
        "statements of another archive are refused",
        "if known is None or _numbers_of(known) != (one.received_at, one.template, one.envelope):",
        "if False:",
        "tests/lake/test_archive.py -k another_archive",
    ),
    Without(
        "a damaged archive is no state of its streams",
        "if _is_of_archive(error):",
        "if False:",
        "tests/lake/test_archive.py -k looks_into",
    ),
    Without(
        "an archive out of order is refused",
        "if disorder is not None:",
        "if False:",
        "tests/lake/test_archive.py -k out_of_order",
    ),
    Without(
        "leaves of an archive compared",
        "if stored.computed_leaf() != stored.leaf:",
        "if False:",
        "tests/lake/test_archive.py -k though_the_manifest",
    ),
    Without(
        "statements of an archive compared",
        "if not _are_equal(regrouped([table]), files.groups(name)):",
        "if False:",
        "tests/lake/test_archive.py -k though_the_manifest",
    ),
    Without(
        "deliveries of an archive compared",
        "if not _are_equal(folded, files.groups(name)):",
        "if False:",
        "tests/lake/test_archive.py -k though_the_manifest",
    ),
    Without(
        "changes of an archive compared",
        "if not _are_equal(changed, files.groups(name)):",
        "if False:",
        "tests/lake/test_archive.py -k though_the_manifest",
    ),
    Without(
        "no stranger fills the table of templates",
        "is None and self.is_verified",
        "is None",
        "tests/ledger/test_senders.py -k fill_no_table",
    ),
    Without(
        "no sender but one that a check can have",
        "if sender and (sender",
        "if False and (sender",
        "tests/ledger/test_senders.py -k no_check_can_have",
    ),
    Without(
        "a rule has a name that can be recorded",
        "if not is_rule_name(name):",
        "if False:",
        "tests/server/test_senders.py -k can_be_recorded",
    ),
    Without(
        "no line claims a sender check",
        'UNVERIFIED if sender == UNVERIFIED else ""',
        'sender or ""',
        "tests/cli/test_export.py -k verifies_nothing",
    ),
    Without(
        "decompressed within the limit",
        "if len(found) > limits.body_bytes:",
        "if False:",
        "tests/wire/test_compression.py -k bomb",
    ),
    Without(
        "what is inherited is bounded",
        "_INHERITED * body_bytes",
        "(1 << 40)",
        "tests/wire/test_shape.py -k inherited_is_bounded",
    ),
    Without(
        "a template is read as the shortest body of it",
        "shapes, least)",
        "shapes)",
        "tests/state/test_patterns.py -k names_longer_than_the_body",
    ),
    Without(
        "a member that is refused costs no other",
        "self._fields, self._paths, self._left, self.inherited = left",
        "pass",
        "tests/wire/test_shape.py -k costs_no_other",
    ),
    Without(
        "members are counted as they are found",
        "if len(self.outer) > self.cut.limits.members * self.cut.limits.depth:",
        "if False:",
        "tests/wire/test_shape.py -k as_they_are_found",
    ),
    Without(
        "no field names the space of another",
        "if named == reading.space or named not in self.spaces.values():",
        "if True:",
        "tests/providers/test_samples.py -k no_field_names",
    ),
    Without(
        "an id of no delivery may hold anybody's number",
        'several=to is None or one.kind == "unreadable"',
        "several=False",
        "tests/cli/test_reconcile.py -k hides_numbers",
    ),
    Without(
        "the bodies in texts are counted",
        "if self._left == 0:",
        "if False:",
        "tests/wire/test_shape.py -k Embedded",
    ),
    Without(
        "nobody speaks for the ids of another",
        "(space is None or v.space == space)",
        "True",
        "tests/providers/test_samples.py -k nobody_speaks",
    ),
    Without(
        "a part that can't be read completes nothing",
        "if part == UNREADABLE:",
        "if False:",
        "tests/state/test_parts.py -k cant_be_read",
    ),
    Without(
        "half characters refused",
        "except UnicodeEncodeError:",
        "except ZeroDivisionError:",
        _FUZZ,
    ),
    # index and states
    Without(
        "states that were replaced say nothing",
        "with suppress(_Switched):",
        "with suppress(ZeroDivisionError):",
        "tests/ledger/test_pages.py -k were_replaced",
    ),
    Without("states compared", "if found != row:", "if False:", f"{_TAMPERING} -k edited_states"),
    Without(
        "the index compared",
        "if reading is None:",
        'if reading is None and not (reading := "recognised"):',
        f"{_TAMPERING} -k edited_states",
    ),
    Without(
        "tallies compared",
        "in counted.differing(",
        "in [] and counted.differing(",
        f"{_TALLIES} -k verify_compares",
    ),
    Without(
        "an index that lacks rows is not read by",
        "if kept is not None and kept.index_name == index and _lacking_unread(store, kept):",
        "if False:",
        "tests/audit/test_live.py -k lost_its_rows",
    ),
    Without(
        "a search relies on no index that lost its rows",
        "if Tallies(store, listing.tallies).apart() and store.one(",
        "if False and store.one(",
        "tests/projections/test_search.py -k lost_its_rows",
    ),
    Without(
        "the last reception is the newest",
        "CASE WHEN excluded.n > {table}.n THEN excluded.n",
        "CASE WHEN 1 = 1 THEN excluded.n",
        "tests/ledger/test_health.py -k go_back",
    ),
    Without(
        "sums that nobody can foretell",
        "token_bytes(16)",
        'b""',
        f"{_TALLIES} -k sums_agree",
    ),
    Without(
        "streams counted once by a replay",
        """moved = _moved(
            work.store, generations.move(work.store, generation, cursor=until, stage=stage)
        )
        put(""",
        """put(work.store, generation, [], [(chart, row) for _, chart, _, row in chunk])
    moved = _moved(
        work.store, generations.move(work.store, generation, cursor=until, stage=stage)
    )
    (lambda *_: None)(""",
        f"{_PROCESSES} -k without_states_together",
    ),
    Without(
        "counted no longer where it was",
        "tallied.kept(counted, -1)",
        "pass",
        f"{_TALLIES} -k subtracted",
    ),
    Without(
        "what deliveries are found by compared",
        "for one, other in ((wanted, kept), (kept, wanted))",
        "for one, other in ((kept, kept),)",
        f"{_TAMPERING} -k edited_states",
    ),
    Without(
        "rows of the index counted",
        "if wanted is not None and {count, leading} != {wanted}:",
        "if False:",
        f"{_TAMPERING} -k edited_states",
    ),
    Without(
        "leaves proven where they are shown",
        "if stored.computed_leaf() != stored.leaf:",
        "if False:",
        f"{_DAMAGE} -k proves",
    ),
    Without(
        "leaves proven where they are merged",
        "if stored.computed_leaf() != stored.leaf:",
        "if False:",
        "tests/ledger/test_several.py -k damaged",
    ),
    Without(
        "the state proven where it is shown",
        "if generations.kept_row(reader.log.store, table, number) != reader.plain_row(number, rows):",
        "if False:",
        f"{_DAMAGE} -k proves",
    ),
    Without(
        "the state compared with the fold of a dossier",
        "if problem is None and whole and kept != row:",
        "if False:",
        "tests/audit/test_verified.py -k tampered_state",
    ),
    Without(
        "nodes over what is shown compared",
        "if root_of(leaves) != node:",
        "if False:",
        "tests/audit/test_verified.py -k tampered_node",
    ),
    Without(
        "types of rows checked",
        "if tuple(map(type, row)) not in _TYPES:",
        "if False:",
        f"{_DAMAGE} -k 'value_of_no and index_1'",
    ),
    Without(
        "events of another chart refused",
        "if effect.chart is not folded.chart and effect.chart != folded.chart:",
        "if False:",
        f"{_DAMAGE} -k 'value_of_no and index_1'",
    ),
    Without(
        "generations moved from where they are",
        "return moved if done.rowcount == 1 else None",
        "return moved",
        f"{_WRITING} -k moved_by_another",
    ),
    Without(
        "a replay takes in the rest before it switches",
        "generation = catch_up(reader, generation, head.size)",
        "pass",
        f"{_PROCESSES} {_KILL} -m 'not long'",
    ),
    Without(
        "events that a shared index lacks are added",
        "live is not None and until <= live.size",
        "live is not None",
        f"{_REPLAY} -k live_states_lack",
    ),
    Without("only who adopts appends an adoption", "if not adopt:", "if False:", _REPLAY),
    Without(
        "definitions and states of one time",
        "with store.read():",
        "if True:",
        f"{_REPLAY} -k middle_of_opening",
    ),
    Without(
        "opening takes in no more than was there",
        "if generation.size < size and",
        "if generation.size < log.size() and",
        f"{_REPLAY} -k middle_of_opening",
    ),
    Without(
        "an event applied while building is still being read",
        "with reader.log.store.read():",
        "if True:",
        f"{_CUSTOM} -k while_it_is_built",
    ),
    Without(
        "following the head has an end",
        " <= most:",
        ":",
        f"{_CUSTOM} -k building_ends",
    ),
    # writing
    Without(
        "lives are of the log as it is",
        "if place != self._as_of:",
        "if False:",
        "tests/state/test_life.py -k rows_of_lives",
    ),
    Without(
        "one transaction for an event and its row",
        "    if moved is not None:\n",
        "    own.store.execute('COMMIT')\n    own.store.execute('BEGIN IMMEDIATE')\n"
        "    if moved is not None:\n",
        f"{_KILL} -k recording_killed",
    ),
    Without(
        "index and states undone whole",
        "with own.store.savepoint():",
        "if True:",
        f"{_WRITING} -k undone_whole",
    ),
    Without(
        "what was interned goes with its transaction",
        "self._renew(own, own.generation, own.reader.definitions)",
        "pass",
        f"{_WRITING} -k interned",
    ),
    # threads and processes
    Without(
        "closing waits for calls",
        "self._idle.wait_for(lambda: not any(n for n in self._calls if n != me))",
        "pass",
        f"{_CLOSING} -k waits_for_the_calls",
    ),
    Without(
        "a handler that closes the ledger is not waited for",
        "if not any(subscription._is_calling() for subscription in subscriptions):",
        "if True:",
        f"{_AIO} -k 'may_end and close'",
    ),
    Without(
        "a handler that stops its subscription is not waited for",
        "and not self._is_calling()",
        "and self._thread is not threading.current_thread()",
        f"{_AIO} -k 'may_end and stop'",
    ),
    Without(
        "connections of ended threads closed",
        "if not thread.is_alive():\n                    left.close()\n"
        "            self._opened = [one for one in self._opened if one[0].is_alive()]\n",
        "pass\n",
        f"{_PROCESSES} -k come_and_go",
    ),
    Without(
        "refused in a forked child",
        "if not self.is_of_process:",
        "if False:",
        f"{_PROCESSES} -k forked",
    ),
    Without(
        "an async ledger refused in a forked child",
        "self._ledger._connections.require_process()",
        "pass",
        f"{_AIO} -k forked",
    ),
    Without(
        "threads wait no longer than the timeout",
        "timeout=caller.patience",
        "timeout=LONGEST",
        "tests/ledger/test_group.py -k slow_group",
    ),
    Without(
        "whoever leaves the turn unused is passed",
        "elif now - taken > _LONGEST_UNUSED:",
        "elif False:",
        "tests/store/test_turn.py -k stopped_in_line",
    ),
    Without(
        "writers take turns",
        "self._turn.take(self.timeout if patience is None else patience)",
        "self.timeout if patience is None else patience",
        f"{_TURN} -k while_another",
    ),
    Without(
        "nothing is acknowledged on a connection whose disk failed",
        "self._epoch += 1",
        "pass",
        f"{_GROUP} -k opened_again",
    ),
    Without(
        "what was acknowledged is there after the disk failed",
        "if epoch and position >= 0 and",
        "if False and",
        f"{_GROUP} -k opened_again",
    ),
    Without(
        "the fault of one caller is that of one",
        "while len(group) > 1 and",
        "while False and",
        f"{_GROUP} -k fails_that_one",
    ),
    Without(
        "what a failing disk left is closed and forgotten",
        "one[1] is not store",
        "True",
        "tests/ledger/test_group.py -k fails_for_long",
    ),
    Without(
        "what is durable is not recorded again",
        "if own is not None and told and own.store.committed:",
        "if False:",
        "tests/ledger/test_group.py -k durable_when",
    ),
    Without(
        "cancelled calls are skipped",
        "if groups.withdraw(caller):",
        "if False:",
        "tests/ledger/test_aio.py -k waits_for_its_turn",
    ),
    Without(
        "the path resolved once", "Path(path).absolute()", "Path(path)", f"{_CLOSING} -k folder"
    ),
    # what goes out
    Without(
        "behind another of the same delivery",
        'NOT EXISTS ({_EARLIER})"',
        'NOT EXISTS ({_EARLIER} AND 0)"',
        f"{_OUTBOX} -k chain",
    ),
    Without(
        "behind an attempt that is being made",
        "if one.chains.isdisjoint(busy)",
        "",
        f"{_FORWARDER} -k 'attempt_under_way'",
    ),
    Without(
        "redriven while the attempt was made",
        "AND attempts = ?",
        "AND ? >= 0",
        f"{_FORWARDER} -k redriven_while",
    ),
    Without(
        "a 410 from before the endpoint was enabled",
        "if not (one.gone and one.seq in self._outdated)",
        "",
        f"{_FORWARDER} -k 410_from_before",
    ),
    Without(
        "what hinders it is raised",
        "begun.result()",
        "pass",
        f"{_FORWARDER} -k start_raises",
    ),
    Without(
        "an endpoint is not removed while it is served",
        "closing(endpoint_lock(path, outbox.endpoint(number).shown))",
        "suppress()",
        f"{_FORWARDER} -k forgotten",
    ),
    Without(
        "the place moves with what was taken in",
        "self._set_place(endpoint, place)",
        "pass",
        f"{_OUTBOX} -k leaves_nothing",
    ),
    Without(
        "what failed before has its share first",
        "key=lambda one: not one.attempts",
        "key=lambda one: 0",
        f"{_FORWARDER} -k never_end",
    ),
    Without(
        "the outbox is bounded",
        "if self.counts(endpoint).pending >= MOST_PENDING:",
        "if False:",
        f"{_OUTBOX} -k bounded",
    ),
    Without(
        "the outbox of another ledger is refused",
        "!= (ledger_id,)",
        "is None",
        f"{_OUTBOX} -k another_ledger",
    ),
    Without("one process for each endpoint", "_lock(self._file)", "pass", f"{_OUTBOX} -k lock"),
    Without(
        "no attempt waits for a jump of the clock",
        "AND due > ? + wait",
        "AND due > ? + wait AND 0",
        f"{_OUTBOX} -k set_back",
    ),
    Without(
        "a jump of the clock moves nothing within a run",
        "self._began + time.monotonic()",
        "self._of._clock()",
        f"{_FORWARDER} -k jump",
    ),
    Without(
        "a restored ledger is sent from the beginning",
        "elif place.leaf is not None and",
        "elif False and",
        f"{_FORWARDER} -k restored",
    ),
    Without(
        "private addresses are refused",
        "[one for one, reason in reasons.items() if reason is None]",
        "addresses",
        f"{_FORWARDER} -k private_endpoint",
    ),
    Without(
        "addresses within others are looked at",
        "inner = _embedded(address)",
        "inner = ()",
        f"{_FORWARDER} -k 'private_addresses or python_calls'",
    ),
    Without(
        "special addresses are refused",
        " or is_within(address, _SPECIAL)",
        "",
        f"{_FORWARDER} -k private_addresses",
    ),
    Without(
        "names that are too long are refused",
        "if len(parsed.raw_host) > 254 or",
        "if False and",
        f"{_FORWARDER} -k invalid_url",
    ),
    Without(
        "ports that no host has are refused",
        "0 < parsed.port < 1 << 16",
        "True",
        f"{_FORWARDER} -k invalid_url",
    ),
    Without(
        "the address that was checked",
        "address, port, timeout",
        "host, port, timeout",
        f"{_FORWARDER} -k address_that_was_checked",
    ),
    Without(
        "nothing unverified is sent on",
        "or not stored.envelope.is_verified",
        "or False",
        f"{_FORWARDER} -k unverified",
    ),
    Without(
        "only 2xx is success",
        "response.status <= 299",
        "response.status <= 399",
        f"{_FORWARDER} -k only_2xx",
    ),
    Without(
        "answers are not read to their end",
        "if left <= 0:",
        "if False:",
        f"{_FORWARDER} -k endless",
    ),
    Without(
        "a receiver's wait is bounded",
        "min(asked or 0.0, MOST_ASKED)",
        "asked or 0.0",
        f"{_FORWARDER} -k asked_for",
    ),
    Without(
        "no message shows a secret",
        "another text was given",
        "got {text}",
        f"{_FORWARDER} -k invalid_secret",
    ),
    # the server
    # the time that a body takes
    Without(
        "what nobody ends is looked through once",
        r"<!--.*?(?:-->|\Z)",
        "<!--.*?-->",
        f"{_GROWTH} -k as_long",
    ),
    Without("a name gives nothing back", "]++)", "]+)", f"{_GROWTH} -k as_long"),
    Without("markup is tried in one way", ")*+'", ")*'", f"{_GROWTH} -k template"),
    Without(
        "a string that nobody ends goes to the end",
        r"""(?:"|\\?\Z)""",
        '"',
        f"{_GROWTH} -k template",
    ),
    Without(
        "long texts are not looked through",
        "if len(text) > _LONGEST or DOT in text:",
        "if DOT in text:",
        f"{_MASK} -k long_id",
    ),
    Without(
        "X-Forwarded-For read past trusted proxies alone",
        "if not is_within(address, proxies):",
        "if False:",
        f"{_ADDRESSES} {_SERVING} -k address",
    ),
    Without(
        "replayed signatures refused",
        "abs(at - int(time)) > TOLERANCE",
        "False",
        f"{_SENDERS} {_SERVING} -k 'standard_webhooks or replayed'",
    ),
    Without(
        "a body that no signature covers is refused",
        "if equals(stated, (sha256(posted.body).digest(),)) else None",
        "",
        f"{_SENDERS} -k covers",
    ),
    Without(
        "a body is looked through only for something as long as a signature",
        "if not self.may_pass(posted, at):\n            return False\n        parameters",
        "parameters",
        f"{_SENDERS} -k for_a_signature_alone",
    ),
    Without(
        "no header that isn't signed changes what is read",
        'is_plain = _is_plain(media.charset, posted.headers.get("content-encoding", ""))',
        "is_plain = True",
        f"{_SENDERS} -k 'one_reading or says_it_is_compressed'",
    ),
    Without(
        "a form that is read otherwise than it is signed is refused",
        "if not _CANONICAL.fullmatch(text):",
        "if False:",
        f"{_SENDERS} -k one_reading",
    ),
    Without(
        "a form has no more fields than are read",
        'if text.count("&") >= _FIELDS:',
        "if False:",
        f"{_SENDERS} -k as_many_fields",
    ),
    Without(
        "the end of what is signed is the end of what is read",
        "if any(is_xml) and",
        "if False and",
        f"{_SENDERS} -k one_reading",
    ),
    Without(
        "paths that may hold a secret in no log",
        'exchange.shows("-")',
        "pass",
        f"{_RECEIVER} {_SERVING} -k secret",
    ),
    Without(
        "a body is cut off at the limit",
        "if exchange.size > limit:",
        "if False:",
        f"{_SERVING} -k 10_gb",
    ),
    Without(
        "a look by a browser is not an event",
        'if exchange.method == "GET" and not exchange.posted.query:',
        "if False:",
        f"{_RECEIVER} -k names_nothing",
    ),
    Without(
        "a ledger that was moved away is not ready",
        "self._ledger._opened._connections.require_there()",
        "pass",
        f"{_RECEIVER} -k moved_away",
    ),
    Without(
        "bytes in flight bounded",
        "if self._held + size > self._in_flight:",
        "if False:",
        f"{_RECEIVER} -k in_flight",
    ),
    Without(
        "one address holds a part of them",
        "if self._held_by[exchange.client] + size > self._share:",
        "if False:",
        f"{_RECEIVER} -k address",
    ),
    Without(
        "no body is held of a sender that can't pass",
        "if rules.refuse and",
        "if False and",
        f"{_RECEIVER} -k cannot_pass",
    ),
    Without(
        "a large body is looked through in a thread",
        "if len(posted.body) <= _LARGE:",
        "if True:",
        f"{_RECEIVER} -k large_body",
    ),
    Without(
        "no source without rules next to those that have some",
        "if without := sorted({*serving.sources} - senders.sources.keys()):",
        "if without := []:",
        "tests/cli/test_serve.py -k wrong_is_one_line",
    ),
    Without(
        "unverified events up to a quota",
        "if charged[source] + size > quota:",
        "if False:",
        f"{_RECEIVER} -k quota",
    ),
    Without(
        "nobody but this machine posts without rules",
        "if not is_loopback(serving.host):",
        "if False:",
        f"{_SERVING} -k without_rules",
    ),
    Without(
        "number of connections bounded",
        "if len(self.connections) > CONNECTIONS:",
        "if False:",
        f"{_SERVING} -k connections",
    ),
    Without(
        "slow headers cut off",
        "if same and (is_idle or looks > _STALLED):",
        "if False:",
        f"{_SERVING} -k says_nothing",
    ),
    Without(
        "heads bounded",
        "if self._is_httptools and",
        "if False and",
        f"{_SERVING} -k around_a_body",
    ),
    Without(
        "what h11 finds too long is answered as such",
        "== 431",
        "== 0",
        f"{_SERVING} -k around_a_body",
    ),
    Without(
        "headers that are kept are short",
        "if size > _LONGEST_HEADER:",
        "if False:",
        f"{_RECEIVER} -k headers_that_are_kept_are_bounded",
    ),
    Without(
        "no process outlives the first",
        "if first := multiprocessing.parent_process():",
        "if False:",
        f"{_POSTING} -k without_the_first",
    ),
    Without(
        "a process that can't start is a failure",
        "if any(",
        "if False and any(",
        f"{_POSTING} -k cannot_start",
    ),
    # the console
    Without(
        "a token is taken once",
        "del self._tokens[known]",
        "pass",
        f"{_CONSOLE} -k token_is_taken_once",
    ),
    Without(
        "sessions bounded; strangers push out no user",
        "self._strangers, _MOST_STRANGERS",
        "self._signed_in, _MOST",
        f"{_CONSOLE} -k sessions_are_bounded",
    ),
    Without(
        "a new secret for whoever signed in",
        "desk.sessions.begin(user)[0]",
        "desk.secret_of(visit.request) or ''",
        f"{_CONSOLE} -k cookie_is_for_this_site",
    ),
    Without(
        "on record before it is shown",
        "await desk.ask(record.append, access)",
        "pass",
        f"{_CONSOLE} -k on_record_before",
    ),
    Without(
        "an event, too, is on record before it is shown",
        "await desk.ask(record.append, Access(user.name, user.role, reason, position=position))",
        "pass",
        f"{_PANELS} -k tried_with",
    ),
    Without(
        "each access has a line to itself",
        'if size and os.pread(file, 1, size - 1) != b"\\n":',
        "if False:",
        f"{_CONSOLE} -k line_by_line",
    ),
    Without(
        "on the disk before anything is shown",
        "os.fsync(file)",
        "pass",
        f"{_ACCESS} -k reach_the_disk",
    ),
    Without(
        "forms bounded",
        "if len(body) > LARGEST_FORM:",
        "if False:",
        f"{_CONSOLE} -k forms_are_bounded",
    ),
    Without(
        "nothing is shown to strangers",
        "if session.user is None and visit.path not in _PUBLIC:",
        "if False:",
        f"{_CONSOLE} -k strangers_see_nothing",
    ),
    Without(
        "a token for each form, taken once",
        'if not session.spend(visit.form.get("csrf", "")):',
        "if False:",
        f"{_CONSOLE} -k token_is_taken_once",
    ),
    Without(
        "other hosts refused, also by DNS rebinding",
        "if len(named) != 1 or _bare(named[0]) not in self._hosts:",
        "if False:",
        f"{_CONSOLE} -k another_host",
    ),
    Without(
        "secrets in a URL refused",
        "if self._has_secret(scope):",
        "if False:",
        f"{_CONSOLE} -k secret_in_an_address",
    ),
    Without(
        "other sites refused",
        'if scope["method"] in _SAFE:',
        "if True:",
        f"{_CONSOLE} -k form_of_another_site",
    ),
    Without(
        "the console writes nothing",
        "Ledger(self._given, readonly=True)",
        "Ledger(self._given)",
        f"{_ACCESS} -k not_made",
    ),
    Without(
        "no access is written into a ledger",
        "if is_database(self.path):",
        "if False:",
        f"{_ACCESS} -k written_into_a_ledger",
    ),
    Without(
        "a hidden id in no message",
        "_HIDDEN if visit.names_hidden else _sentence(error)",
        "_sentence(error)",
        f"{_CONSOLE} -k hostile_texts",
    ),
    Without(
        "a search tells nothing of what is masked",
        "if _is_told(search, mask.delivery(found), found)",
        "",
        f"{_ACCESS} -k tells_no_digit",
    ),
    Without(
        "of an event that a page ends in the next one has the rest",
        "end = min(len(said), top[1]) if stored.position == top[0] else len(said)",
        "end = len(said)",
        f"{_CONSOLE} -k end_within_an_event",
    ),
    Without(
        "a page of large bodies alone",
        "for position in range(until, page[-1].position if page else first - 1, -1):",
        "for position in ():",
        f"{_CONSOLE} -k large_bodies",
    ),
    Without(
        "what an address guesses slowed down",
        "return max(self._names.wait((client, name)), self._clients.wait(client))",
        "return 0",
        f"{_CONSOLE} -k guessing_slowed_down",
    ),
    Without(
        "passwords looked at one by one",
        "if len(self._waiting) >= WAITING or self._waiting.count(client) >= OF_CLIENT:",
        "if False:",
        f"{_ATTACKS} -k who_guess",
    ),
    Without(
        "streams counted where they begin",
        "if self.is_full(session):",
        "if False:",
        "tests/console/test_stream.py -k begin_at_once",
    ),
    Without(
        "slow forms cut off",
        "async with asyncio.timeout(PATIENCE):",
        "if True:",
        f"{_ATTACKS} -k comes_slowly",
    ),
    Without(
        "no form names a delivery by what is not seen",
        " or not is_plain:",
        ":",
        f"{_ATTACKS} -k no_obstacle",
    ),
    Without(
        "what is mounted takes its own paths alone",
        """if f"{scope['path']}/".startswith(f"{root}/"):""",
        """if scope["path"].startswith(root):""",
        f"{_MOUNTED} -k keeps_its_paths",
    ),
    Without(
        "no source is hidden by what is mounted",
        "if mounted is not None and mounted.place in sources:",
        "if False:",
        f"{_MOUNTED} -k no_source_is_hidden",
    ),
)


def place(engine: Path, without: Without) -> tuple[Path, int]:
    """The file that a protection stands in, and where its text begins there.

    Raises ``LookupError`` where its marker, or the text after it, is missing or there twice.
    """
    found = [
        (file, marker.end())
        for file in sorted(engine.rglob("*.py"))
        for marker in MARKER.finditer(file.read_text())
        if marker[1] == without.guard
    ]
    if len(found) != 1:
        raise LookupError(f"guard {without.guard!r} is marked {len(found)} times in {engine}")
    file, start = found[0]
    at = file.read_text().find(without.text, start, start + REACH)
    if at < 0:
        raise LookupError(f"{file}: after guard {without.guard!r} expected {without.text!r}")
    return file, at


def main(*words: str) -> None:
    """Try the protections; exit 1 where a test did not fail."""
    idle = []
    for without in PROTECTIONS:
        if not words or any(word in without.guard for word in words):
            said = attempt(without)
            print(f"{without.guard}: {said}", flush=True)
            if not said.startswith("failed"):
                idle.append(without.guard)
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
        file, at = place(tree / "engine", without)
        source_text = file.read_text()
        rest = source_text[at + len(without.text) :]
        file.write_text(source_text[:at] + without.instead + rest)
        failed = list(_failed(tree, without.tests))
    return f"failed {', '.join(failed)}" if failed else "PASSED"


def _failed(tree: Path, tests: str) -> Iterator[str]:
    done = subprocess.run(
        f"{sys.executable} -m pytest -q -p no:cacheprovider --tb=no --maxfail=1 {tests}",
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
