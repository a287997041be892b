"""What goes over the wire, read by Thrift's own library."""

import Hbase_thrift as thrift
from hypothesis import given
from hypothesis import strategies as st
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.transport import TCyMemoryBuffer

from clickstream_assets.clients.hbase import RowMutation, _mutate_rows

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
