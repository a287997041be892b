"""What goes over the wire, read by Thrift's own library."""

import pickle
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TClient, TMessageType
from thriftpy2.transport import TCyMemoryBuffer

from clickstream_assets.stores.hbase.client import (
    BYTES_PER_CALL,
    ROWS_PER_CALL,
    SCANNED_PER_CALL,
    HBaseClient,
    rows_per_call,
)
from clickstream_assets.stores.hbase.filters import where
from clickstream_assets.stores.hbase.thrift_rows import (
    SCANS,
    Key,
    Row,
    RowMutation,
    SharedCells,
    SharedMutation,
    mutate_rows,
)

import Hbase_thrift as thrift  # isort: skip - the client makes it


names = st.builds("{}:{}".format, st.sampled_from("ab"), st.text("xyz", max_size=3)).map(str.encode)
mutations = st.builds(
    lambda key, puts, deletes: RowMutation(key, puts, tuple(deletes - puts.keys())),
    st.binary(min_size=1, max_size=30),
    st.dictionaries(names, st.binary(max_size=300), max_size=5),
    st.sets(names, max_size=3),
)


def read(call, name):
    """The arguments of a call as a server reads them."""
    protocol = TCyBinaryProtocol(TCyMemoryBuffer(call), decode_response=False)
    assert protocol.read_message_begin() == (name, TMessageType.CALL, 0)
    arguments = getattr(thrift.Hbase, f"{name}_args")()
    protocol.read_struct(arguments)
    assert protocol.trans.getvalue() == b""
    return arguments


@pytest.mark.slow
@given(st.lists(mutations, max_size=4), st.none() | st.integers(0, (1 << 63) - 1))
def test_row_mutations_are_read_as_they_were_meant(rows, time_ms):
    name, bytes_sent = mutate_rows("täble", [row.encoded() for row in rows], time_ms)
    assert name == ("mutateRows" if time_ms is None else "mutateRowsTs")
    call = read(bytes_sent, name)
    assert call.tableName == "täble".encode()
    assert getattr(call, "timestamp", None) == time_ms
    found = [(row.row, row.mutations) for row in call.rowBatches]
    assert [key for key, _ in found] == [row.key for row in rows]
    for row, (_, changes) in zip(rows, found, strict=True):
        assert {one.column: one.value for one in changes if not one.isDelete} == row.puts
        assert tuple(one.column for one in changes if one.isDelete) == row.deletes
        assert all(one.writeToWAL for one in changes)


cells = st.dictionaries(names, st.binary(max_size=300), max_size=5)


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=30), st.lists(cells, max_size=3))
def test_shared_cells_are_put_as_each_rows_own_would_be(key, shared):
    own = [(column, value) for part in shared for column, value in part.items()]
    _, together = mutate_rows("t", [SharedMutation(key, [SharedCells(part) for part in shared]).encoded()])
    (row,) = read(together, "mutateRows").rowBatches
    assert row.row == key
    assert [(change.column, change.value) for change in row.mutations] == own
    if len(dict(own)) == len(own):
        assert together == mutate_rows("t", [RowMutation(key, dict(own)).encoded()])[1]


results = st.lists(
    st.tuples(st.binary(min_size=1, max_size=30), st.dictionaries(names, st.binary(max_size=300))), max_size=4
)


def answered(drawn, kind):
    """The rows of a server's answer as the client reads them."""
    answer = thrift.Hbase.scannerGetList_result(
        success=[
            thrift.TRowResult(
                row=row, columns={name: thrift.TCell(value=value, timestamp=7) for name, value in cells.items()}
            )
            for row, cells in drawn
        ]
    )
    protocol = TCyBinaryProtocol(TCyMemoryBuffer(), decode_response=False)
    protocol.write_message_begin("scannerGetList", TMessageType.REPLY, 0)
    protocol.write_struct(answer)
    found = TClient(SCANS[kind], protocol)._recv("scannerGetList")
    assert protocol.trans.getvalue() == b""
    return found


@pytest.mark.slow
@given(results)
def test_rows_of_a_scan_are_read_as_they_were_meant(drawn):
    found = answered(drawn, Row)
    assert [(row.row, {name: cell.value for name, cell in row.columns.items()}) for row in found] == drawn


@pytest.mark.slow
@given(results)
def test_a_scan_for_keys_steps_over_cells(drawn):
    assert [key.row for key in answered(drawn, Key)] == [key for key, _ in drawn]


@given(st.binary(max_size=20))
def test_a_filter_string_quotes_what_it_compares_with(value):
    name, _, arguments = where(b"f:q", "=", value).partition(b"(")
    assert name == b"SingleColumnValueFilter"
    quoted = b"'binary:" + value.replace(b"'", b"''") + b"'"
    assert arguments == b"'f', 'q', =, " + quoted + b", true, true)"


class Sent(HBaseClient):
    """Notes the rows of each call, and the time that they are given."""

    def __init__(self):
        super().__init__("hbase", 9090)
        self.calls, self.times = [], []

    def _send(self, table, batch, time_ms):
        self.calls.append([len(row) for row in batch])
        self.times.append(time_ms)


def test_a_call_ends_before_its_rows_or_bytes_are_full_and_a_larger_row_goes_alone():
    def rows(*sizes):
        client = Sent()
        assert client.mutate("t", (RowMutation(b"k", {b"f:q": bytes(size)}) for size in sizes)) == len(sizes)
        return client.calls

    large = [1 << 20] * 9 + [5 << 20] + [1] * (ROWS_PER_CALL + 1)
    calls = rows(*large)
    assert [len(call) for call in calls] == [3, 3, 3, 1, ROWS_PER_CALL, 1]
    assert all(len(call) == 1 or sum(call) <= BYTES_PER_CALL for call in calls)


@pytest.mark.slow
@given(st.lists(mutations, min_size=1, max_size=4), st.integers(0, 1 << 40))
def test_all_calls_of_a_mutation_give_the_same_time(rows, time_ms):
    client = Sent()
    client.mutate("t", [*rows, RowMutation(b"k", {b"f:q": bytes(BYTES_PER_CALL)})], time_ms)
    assert set(client.times) == {time_ms}


@given(st.integers(1, 1 << 30))
def test_as_many_rows_are_asked_for_as_fit_into_an_answer(row_bytes):
    rows = rows_per_call(row_bytes)
    assert rows == 1 or rows * row_bytes <= BYTES_PER_CALL
    assert rows == SCANNED_PER_CALL or (rows + 1) * row_bytes > BYTES_PER_CALL


def test_a_client_reaches_another_process_without_its_connection():
    client = HBaseClient("hbase", 9091, timeout_ms=7, patience_seconds=3)
    with socket.socket() as connection:
        client._connection = connection
        other = pickle.loads(pickle.dumps(client))
        assert client._connection is connection
    assert vars(other) == vars(HBaseClient("hbase", 9091, timeout_ms=7, patience_seconds=3))
