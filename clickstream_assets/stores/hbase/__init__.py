"""HBase by its Thrift server: rows, scans, filters, making tables. Which tables there are is in ``books``."""
