"""From offsets to rows, dead letters and the ledger: the heart of ``raw_clicks`` (docs/architecture.md)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clickstream_assets.clients.hbase import ROWS_PER_CALL, HBaseClient, RowMutation
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain.hours import HOUR_MS
from clickstream_assets.domain.ledger import GAP, LOST, READ, Entry, Ledger
from clickstream_assets.domain.log_cuts import Cut, Stretch, topic_of, write_cuts
from clickstream_assets.domain.offset_plan import Piece, joined, plan_partition, to_commit
from clickstream_assets.domain.reading import Pieces, Tables, Wide, read_pieces
from clickstream_assets.domain.resumption import resumption
from clickstream_assets.domain.row_keys import key_ranges
from clickstream_assets.domain.settler import Tallies
from clickstream_assets.domain.settling import DISPLACED, SOURCE, Rules, Tally, displaced_by, letter_key
from clickstream_assets.domain.stale_hours import HourStates, touched_by
from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER
from clickstream_assets.domain.urls import DEFAULT_RULES, UrlRules
from clickstream_assets.domain.watermarks import Watermarks

_SCANNED_FOR_ONE = 2
"""Scanning so many rows costs HBase about what looking one up does."""
_SCANNED_AT_MOST = 500_000
"""Rows that are held in memory: some 150 bytes each."""
_TIME, _RUN = CLICKS.columns["timestamp"].key, DEAD_LETTERS.columns["run_id"].key


@dataclass(slots=True)
class Report:
    """What a run's ingestion did, for its metadata."""

    read: int = 0
    kept: int = 0
    new_rows: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    lost: int = 0
    missing: int = 0
    unavailable: int = 0
    """Offsets booked earlier that Kafka no longer holds: what is stored of them was left alone."""
    refused_rows: int = 0
    """Rows deleted because their messages, stored by an earlier reading, are refused now."""
    cuts: list[Cut] = field(default_factory=list)
    """Where this run noticed that logs were cut back."""
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def in_words(self) -> str:
        """One line for the log."""
        words = (
            f"read {self.read} messages: kept {self.kept}, {self.duplicates} duplicates, "
            f"{self.dead_lettered} dead-lettered; {self.new_rows} rows written"
        )
        if self.lost:
            words += f"; {self.lost} offsets were lost to retention before they were read"
        if self.missing:
            words += f"; {self.missing} offsets hold no record"
        if self.cuts:
            words += f"; {'; '.join(cut.in_words() for cut in self.cuts)}"
        if self.refused_rows:
            words += f"; {self.refused_rows} rows of messages that are refused now were deleted"
        return words

    def metadata(self) -> dict[str, int | dict[str, list[tuple[int, int]]] | dict[str, int]]:
        """For the UI: the counts, the exact offset ranges read, and what was committed, by Kafka partition."""
        return {
            "read": self.read,
            "kept": self.kept,
            "new_rows": self.new_rows,
            "duplicates": self.duplicates,
            "dead_lettered": self.dead_lettered,
            "lost_to_retention": self.lost,
            "offsets_without_record": self.missing,
            "no_longer_in_kafka": self.unavailable,
            "rows_refused_now": self.refused_rows,
            "logs_cut_back": len(self.cuts),
            "offset_ranges": {str(partition): joined(ranges) for partition, ranges in self.ranges.items()},
            "committed": {str(partition): at for partition, at in self.committed.items()},
        }


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets of one partition that a run is to read: ``first`` (included) to ``end`` (not), and more entries whole.

    ``lost`` are entries that are gone from the ledger, as their shares tell of them.
    """

    first: int
    end: int
    entries: tuple[Entry, ...] = ()
    lost: tuple[Entry, ...] = ()


class Ingestion:
    """One run's reading: rows, dead letters, ledger, touched hours and commit, in that order.

    What is much to read is read on Spark, if there is a ``wide``.
    """

    def __init__(
        self,
        topic: TopicClient,
        hbase: HBaseClient,
        table: Callable[[str], str],
        first_hour_ms: int,
        run_id: str,
        wide: Wide | None = None,
        urls: UrlRules = DEFAULT_RULES,
    ) -> None:
        self._topic, self._hbase, self._wide = topic, hbase, wide
        self._clicks, self._letters = table(CLICKS.name), table(DEAD_LETTERS.name)
        ledger_table = table(LEDGER.name)
        self._ledger_table = ledger_table
        self._ledger, self._states = Ledger(hbase, ledger_table), HourStates(hbase, ledger_table)
        self._partitions = topic.partitions()
        self._ends = topic.ends(self._partitions)
        self._found = resumption(topic, hbase, ledger_table, self._ends)
        self._begins, self._earliest = self._found.begins, self._found.earliest
        self._committed = dict(self._found.committed)
        self._rules = Rules(topic.topic, self._found.topic_id, first_hour_ms, run_id, urls, self._found.generations)
        self._watermarks, self._latest = Watermarks(hbase, ledger_table), dict[int, int]()
        self._unavailable: dict[tuple[str, int, int], Entry] = {}
        self._written: list[Entry] = []
        self._replaced: list[Entry] = []
        self._orphans: list[int] = []
        self._stale_letters: list[bytes] = []
        self.report = Report()

    def read_until(self, until: Mapping[int, int], hours: Iterable[int]) -> Report:
        """Read what is new, up to ``until`` by partition; entries are cut where ``hours`` begin."""
        windows = {p: Window(at, min(until[p], self._ends[p])) for p, at in self._begins.items() if p in until}
        return self._run(windows, hours)

    def read_hours(self, hours: Iterable[int]) -> Report:
        """Read again all that is known to belong to ``hours``, and what their record times say belongs to them.

        Entries that are gone from the ledger are written anew: from Kafka, or as their shares tell of them. All the
        hours are touched, so that the later assets follow, for an hour without a single event too.
        """
        hours = sorted(hours)
        self.report.touched.update(hours)
        entries: dict[int, dict[int, Entry]] = defaultdict(dict)
        for hour in hours:
            for share in self._ledger.shares(hour):
                if topic_of(share.topic_id) != self._rules.topic_id:
                    continue
                for entry in self._ledger.overlapping(share.topic_id, share.partition, share.first, share.first + 1):
                    if self._is_there(entry):
                        entries[share.partition][entry.first] = entry
                    else:
                        self._is_unavailable(entry)
        known = [stretch for p, end in self._begins.items() for stretch in self._stretches(p, 0, end)]
        lost = self._ledger.lost(known, self._rules.run_id)
        for p, gone in lost.items():
            entries[p] |= {entry.first: entry for entry in gone if entry.hours & set(hours)}
        first = self._topic.offsets_at(hours[0] * HOUR_MS, self._ends, self._earliest)
        end = self._topic.offsets_at((hours[-1] + 1) * HOUR_MS, self._ends, self._earliest)
        windows = {}
        for p in self._partitions:
            again = tuple(entries[p][at] for at in sorted(entries[p]))
            windows[p] = Window(first[p], max(first[p], end[p]), again, tuple(lost.get(p, ())))
        self._orphans = hours
        return self._run(windows, hours)

    def read_again(self, partition: int, offsets: Iterable[int]) -> Report:
        """Read the entries of some offsets of a partition again; commits nothing."""
        entries = {entry.first: entry for offset in offsets for entry in self._entries_of(partition, offset)}
        return self._run({partition: Window(0, 0, tuple(entries[first] for first in sorted(entries)))}, ())

    def is_readable(self, partition: int, offset: int) -> bool:
        """Whether Kafka still holds the whole entry of an offset, so that it can be read again."""
        entries = self._entries_of(partition, offset)
        return bool(entries) and entries[0].first >= self._earliest[partition] and self._is_there(entries[0])

    def _entries_of(self, partition: int, offset: int) -> list[Entry]:
        """The entry of an offset as it is now, if there is one."""
        return self._ledger.overlapping(self._rules.log_id(partition, offset), partition, offset, offset + 1)

    def _stretches(self, partition: int, first: int, end: int) -> list[Stretch]:
        return self._rules.generations.stretches(self._rules.topic_id, partition, first, end)

    def _is_there(self, entry: Entry) -> bool:
        """Whether no offset of an entry was cut off: none has been given out again."""
        stretches = self._stretches(entry.partition, entry.first, entry.end)
        return stretches == [Stretch(entry.topic_id, entry.partition, entry.first, entry.end)]

    def _run(self, windows: Mapping[int, Window], hours: Iterable[int]) -> Report:
        hours = sorted(hours)
        self._book_cuts()
        first = {p: max(window.first, self._earliest[p]) for p, window in windows.items()}
        end = {p: window.end for p, window in windows.items()}
        starts = [self._topic.offsets_at(hour * HOUR_MS, end, first) for hour in hours] if windows else []
        commits = {}
        pieces: Pieces = {}
        for partition, window in sorted(windows.items()):
            pieces |= self._plan(partition, window, {at[partition] for at in starts})
            commit = to_commit(self._begins[partition], window.first, window.end)
            if commit is not None:
                commits[partition] = commit
        for (partition, _), (piece, runs) in sorted(self._read_all(pieces, hours).items()):
            self._book(partition, piece, runs)
        for partition, window in windows.items():
            places = ((entry.topic_id, partition, entry.first) for entry in window.lost)
            self._written += [self._unavailable[place] for place in places if place in self._unavailable]
        self.report.unavailable += sum(entry.end - entry.first for entry in self._unavailable.values())
        self._unavailable = {}
        self._ledger.write(self._written, self._replaced)
        self._written, self._replaced = [], []
        self._ledger.forget_orphans(self._orphans)
        self._states.touch(self.report.touched)
        self._watermarks.advance(self._rules.topic_id, {p: at for p, at in self._latest.items() if at >= 0})
        # Behind the books: what is left of a letter tells a replay that was killed here to look again.
        self._hbase.mutate(self._letters, (RowMutation(key, {}, (b"letter",)) for key in self._stale_letters))
        self._stale_letters = []
        self.report.committed = self._commit(commits)
        return self.report

    def _book_cuts(self) -> None:
        """Book where logs were cut back, then take back the offsets committed of what is cut off."""
        self.report.cuts = [replace(cut, run_id=self._rules.run_id) for cut in self._found.unbooked]
        write_cuts(self._hbase, self._ledger_table, self._rules.topic_id, self.report.cuts)
        if self._found.void:
            self._committed |= self._commit({p: self._begins[p] for p in self._found.void})

    def _plan(self, partition: int, window: Window, cuts: set[int]) -> Pieces:
        pieces: Pieces = {}
        for stretch in self._stretches(partition, window.first, window.end):
            known = self._ledger.overlapping(stretch.log_id, partition, stretch.first, stretch.end)
            known += [e for e in window.lost if e.first < stretch.end and e.end > stretch.first]
            known.sort(key=lambda entry: entry.first)
            plan = plan_partition(stretch.first, stretch.end, known, self._earliest[partition], cuts)
            for entry in plan.unavailable:
                self._is_unavailable(entry)
            for lost in plan.lost:
                self._written.append(self._entry(partition, lost.first, lost.end, LOST))
                self.report.lost += lost.end - lost.first
            for piece in plan.pieces:
                if piece.entry is None or self._is_there(piece.entry):
                    pieces[partition, piece.first] = piece
                else:
                    self._is_unavailable(piece.entry)
        return self._of_entries(partition, window.entries) | pieces

    def _is_unavailable(self, entry: Entry) -> None:
        self._unavailable[entry.topic_id, entry.partition, entry.first] = entry

    def _of_entries(self, partition: int, entries: Iterable[Entry]) -> Pieces:
        """What can still be read again of some entries; the others are noted as unavailable."""
        pieces: Pieces = {}
        for entry in entries:
            if entry.kind != READ:
                continue
            if entry.first < self._earliest[partition] or not self._is_there(entry):
                self._is_unavailable(entry)
            else:
                pieces[partition, entry.first] = Piece(entry.first, entry.end, entry)
        return pieces

    def _read_all(self, pieces: Pieces, hours: Sequence[int]) -> "dict[tuple[int, int], tuple[Piece, list[_Run]]]":
        """Read and write pieces, and those that have to be read again for it; returns what became of each.

        A round reads its pieces in order of offset, so an offset that makes way in the very round is a duplicate in it.
        """
        done: dict[tuple[int, int], tuple[Piece, list[_Run]]] = {}
        while pieces:
            tables = Tables(self._clicks, self._letters)
            scanned = self._worth_a_scan(pieces, hours)
            tallies = read_pieces(pieces, self._topic, self._hbase, tables, self._rules, self._wide, scanned)
            self.report.new_rows += sum(tally.new_rows for tally in tallies.values())
            read = {place: (piece, runs) for place, piece, runs in _by_piece(pieces, tallies)}
            gone = [self._delete_refused_rows(p, *found) for (p, _), found in read.items()]
            if any(displaced is not None for displaced in gone):
                # Messages that were duplicates of rows just deleted may be kept now.
                for (p, _), displaced in zip(read, gone, strict=True):
                    pieces = self._again(p, displaced or (), done | read) | pieces
                continue
            done |= read
            again: Pieces = {}
            for (p, _), (_, runs) in read.items():
                again |= self._again(p, {offset for run in runs for offset in run.tally.displaced}, done)
            # Offsets that make way lie behind the ones they make way for, so rounds come to an end.
            pieces = {place: piece for place, piece in again.items() if place not in read}
        return done

    def _worth_a_scan(self, pieces: Pieces, hours: Sequence[int]) -> Sequence[int]:
        """``hours``, or none of them if few of their rows will be asked for, or so few that a request tells of all."""
        offsets = sum(piece.end - piece.first for piece in pieces.values())
        if offsets <= ROWS_PER_CALL:
            return ()
        return hours if self._ledger.rows(hours) <= min(_SCANNED_FOR_ONE * offsets, _SCANNED_AT_MOST) else ()

    def _again(
        self, partition: int, offsets: Iterable[int], known: "Mapping[tuple[int, int], tuple[Piece, list[_Run]]]"
    ) -> Pieces:
        """The pieces that hold some offsets: of those known, or else the ledger's entries."""
        pieces = [piece for (p, _), (piece, _) in known.items() if p == partition]
        found: Pieces = {}
        end = -1
        for offset in sorted(offsets):
            if offset < end:
                continue
            for piece in pieces:
                if piece.first <= offset < piece.end:
                    found[partition, piece.first], end = piece, piece.end
                    break
            else:
                entries = self._entries_of(partition, offset)
                found |= self._of_entries(partition, entries)
                end = max((entry.end for entry in entries), default=-1)
        return found

    def _delete_refused_rows(self, partition: int, piece: Piece, runs: "list[_Run]") -> set[int] | None:
        """Delete rows of an entry whose messages are refused now; returns the offsets that they had displaced.

        None if there is no such row. Only hours that lost rows since the entry was written are looked through.
        """
        if piece.entry is None or sum(run.tally.read for run in runs) < piece.entry.read:
            return None
        fewer = [
            hour
            for hour, count in piece.entry.kept_by_hour.items()
            if count > sum(run.tally.kept_by_hour[hour] for run in runs)
        ]
        log = self._rules.log_id(partition, piece.first)
        refused = {
            f"{log}/{partition}/{int(key.rsplit(b'|', 1)[1])}".encode()
            for key, is_new in (self._letters_of(partition, piece) if fewer else ())
            if is_new
        }
        rows = {
            key: cells
            for ranges in key_ranges(fewer if refused else ())
            for start, stop in ranges
            for key, cells in self._hbase.scan(self._clicks, start, stop, (SOURCE, DISPLACED, _TIME))
            if cells[SOURCE] in refused
        }
        if not rows:
            return None
        # Touched before they go: a run killed in between finds no trace of them.
        self._states.touch(
            hour for cells in rows.values() for hour in touched_by(int(cells[_TIME])) if hour >= self._rules.first_hour
        )
        families = tuple(family.encode() for family in CLICKS.families)
        self._hbase.mutate(self._clicks, (RowMutation(key, {}, families) for key in rows))
        self.report.refused_rows += len(rows)
        return {offset for cells in rows.values() for offset in displaced_by(cells)}

    def _book(self, partition: int, piece: Piece, runs: "list[_Run]") -> None:
        whole = Tally()
        for run in runs:
            whole.add(run.tally)
        read = whole.read
        self.report.read += read
        self.report.kept += whole.kept_by_hour.total()
        self.report.duplicates += whole.duplicates
        self.report.dead_lettered += whole.dead_lettered_by_hour.total()
        self.report.touched |= whole.touched
        self._latest[partition] = max(self._latest.get(partition, -1), whole.latest_ms)
        self.report.ranges.setdefault(partition, []).append((piece.first, piece.end))
        if piece.entry is not None:
            is_lost = piece.entry.run_id == self._rules.run_id  # put together by this run: its count is a guess
            if read < piece.entry.read and not is_lost:
                # Compaction or retention took records since: the books keep what was counted when they were there.
                self.report.unavailable += piece.entry.read - read
                return
            self._replaced.append(piece.entry)
        self._stale_letters += [key for key, is_new in self._letters_of(partition, piece) if not is_new]
        at = piece.first
        for run in runs:
            if run.first > at:
                self._book_gap(partition, at, run.first)
            at = run.end
            tally = run.tally
            self._written.append(
                replace(
                    self._entry(partition, run.first, at, READ),
                    read=tally.read,
                    duplicates=tally.duplicates,
                    kept_by_hour=dict(tally.kept_by_hour),
                    dead_lettered_by_hour=dict(tally.dead_lettered_by_hour),
                    late_by_hour=dict(tally.late_by_hour),
                    other_types_by_hour=dict(tally.other_types_by_hour),
                    corrected_by_hour=dict(tally.corrected_by_hour),
                    duplicates_by_hour=dict(tally.duplicates_by_hour),
                )
            )
        if at < piece.end:
            self._book_gap(partition, at, piece.end)

    def _book_gap(self, partition: int, first: int, end: int) -> None:
        self._written.append(self._entry(partition, first, end, GAP))
        self.report.missing += end - first

    def _entry(self, partition: int, first: int, end: int, kind: str) -> Entry:
        log = self._rules.log_id(partition, first)
        return Entry(log, partition, first, end, kind, run_id=self._rules.run_id)

    def _letters_of(self, partition: int, piece: Piece) -> Iterator[tuple[bytes, bool]]:
        """Keys of a range's dead letters, each with whether this run wrote it: others are refused no more."""
        log = self._rules.log_id(partition, piece.first)
        start, stop = (letter_key(log, partition, at) for at in (piece.first, piece.end))
        for key, cells in self._hbase.scan(self._letters, start, stop, (_RUN,), large_cells=True):
            yield key, cells[_RUN].decode() == self._rules.run_id

    def _commit(self, commits: Mapping[int, int]) -> dict[int, int]:
        """Commit where the group's offset is still what it was when the run began; returns what was committed."""
        now = self._topic.committed(commits)
        done = {p: at for p, at in commits.items() if now[p] == self._committed[p]}
        self._topic.commit(done)
        return done


@dataclass(slots=True)
class _Run:
    """Offsets without a gap, and what became of them."""

    first: int
    tally: Tally

    @property
    def end(self) -> int:
        """The offset behind the last one."""
        return self.first + self.tally.read


def _by_piece(pieces: Pieces, tallies: Tallies) -> Iterator[tuple[tuple[int, int], Piece, list[_Run]]]:
    """Each piece in order of partition and offset, with its stretches of offsets, those that touch as one."""
    places = sorted(pieces)
    runs: dict[tuple[int, int], list[_Run]] = {place: [] for place in places}
    for stretch in sorted(tallies):
        of_piece = runs[places[bisect_right(places, stretch) - 1]]
        if of_piece and of_piece[-1].end == stretch[1]:
            of_piece[-1].tally.add(tallies[stretch])
        else:
            of_piece.append(_Run(stretch[1], tallies[stretch]))
    for place in places:
        yield place, pieces[place], runs[place]
