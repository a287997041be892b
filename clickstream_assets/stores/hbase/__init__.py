"""HBase by its Thrift server, and its tables."""
