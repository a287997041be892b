import os
import socket

import pytest

from clickstream_assets.local.stack import ports
from clickstream_assets.local.stack.errors import StackError


@pytest.mark.parametrize("address", [ports.HOST, "0.0.0.0"])
def test_a_taken_port_is_an_error_that_names_holder_and_variable(address):
    with socket.socket() as holder:
        holder.bind((address, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StackError) as error:
            ports.choose("Kafka", port, "CLICKSTREAM_STACK_KAFKA_PORT", set())
    assert f"Port {port}, which Kafka needs, is taken by " in error.value.message
    assert f"(pid {os.getpid()})" in error.value.message
    assert "CLICKSTREAM_STACK_KAFKA_PORT" in error.value.message


def test_one_port_for_two_servers_is_an_error():
    with pytest.raises(StackError, match="set for two servers"):
        ports.choose("Kafka", 9999, "CLICKSTREAM_STACK_KAFKA_PORT", {9999})


def test_zero_means_any_free_port_and_never_one_twice():
    chosen: set[int] = set()
    found = [ports.choose("Kafka", 0, "X", chosen) for _ in range(50)]
    assert len(set(found)) == 50
    assert all(ports.is_free(port) and not ports.is_open(port) for port in found[:5])


def test_a_free_port_is_none_that_outgoing_connections_are_given():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:  # noqa: PTH123
        first = int(file.read().split()[0])
    assert all(ports.free_port(set()) < max(first, 2_024) for _ in range(50))
