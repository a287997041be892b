"""What goes over the wire, read by Thrift's own library."""

from hypothesis import given
from hypothesis import strategies as st
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TClient, TMessageType
from thriftpy2.transport import TCyMemoryBuffer

from clickstream_assets.clients.hbase import _SCANS, Key, Row, RowMutation, _mutate_rows, where

import Hbase_thrift as thrift  # isort: skip - the client makes it


names = st.builds("{}:{}".format, st.sampled_from("ab"), st.text("xyz", max_size=3)).map(str.encode)
mutations = st.builds(
    lambda key, puts, deletes: RowMutation(key, puts, tuple(deletes - puts.keys())),
    st.binary(min_size=1, max_size=30),
    st.dictionaries(names, st.binary(max_size=300), max_size=5),
    st.sets(names, max_size=3),
)


@given(st.lists(mutations, max_size=4))
def test_row_mutations_are_read_as_they_were_meant(rows):
    protocol = TCyBinaryProtocol(
        TCyMemoryBuffer(_mutate_rows("täble", [row.encoded() for row in rows])), decode_response=False
    )
    name, kind, number = protocol.read_message_begin()
    call = thrift.Hbase.mutateRows_args()
    protocol.read_struct(call)
    assert (name, kind, number) == ("mutateRows", 1, 0)
    assert call.tableName == "täble".encode()
    assert protocol.trans.getvalue() == b""
    found = [(row.row, row.mutations) for row in call.rowBatches]
    assert [key for key, _ in found] == [row.key for row in rows]
    for row, (_, changes) in zip(rows, found, strict=True):
        assert {one.column: one.value for one in changes if not one.isDelete} == row.puts
        assert tuple(one.column for one in changes if one.isDelete) == row.deletes
        assert all(one.writeToWAL for one in changes)


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
    found = TClient(_SCANS[kind], protocol)._recv("scannerGetList")
    assert protocol.trans.getvalue() == b""
    return found


@given(results)
def test_rows_of_a_scan_are_read_as_they_were_meant(drawn):
    found = answered(drawn, Row)
    assert [(row.row, {name: cell.value for name, cell in row.columns.items()}) for row in found] == drawn


@given(results)
def test_a_scan_for_keys_steps_over_cells(drawn):
    assert [key.row for key in answered(drawn, Key)] == [key for key, _ in drawn]


@given(st.binary(max_size=20))
def test_a_filter_string_quotes_what_it_compares_with(value):
    name, _, arguments = where(b"f:q", "=", value).partition(b"(")
    assert name == b"SingleColumnValueFilter"
    quoted = b"'binary:" + value.replace(b"'", b"''") + b"'"
    assert arguments == b"'f', 'q', =, " + quoted + b", true, true)"
