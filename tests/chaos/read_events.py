"""Reads all rows of a table of clicks with PyIceberg, batch by batch, and prints one line a row: event id, micros of the
event's time, type, user, session, page, with tabs between. Called by ledger.rs.

The argument is a JSON object: "catalog", the properties of the REST catalog, and "table".
"""

import json
import sys

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog

COLUMNS = ("event_id", "event_timestamp", "event_type", "user_id", "session_id", "page_url")

request = json.loads(sys.argv[1])
table = load_catalog("it", type="rest", **request["catalog"]).load_table(request["table"])
for batch in table.scan(selected_fields=COLUMNS).to_arrow_batch_reader():
    columns = {name: batch[name] for name in COLUMNS}
    columns["event_timestamp"] = pc.cast(columns["event_timestamp"], pa.int64())
    texts = [pc.fill_null(pc.cast(columns[name], pa.string()), "").to_pylist() for name in COLUMNS]
    sys.stdout.writelines("\t".join(row) + "\n" for row in zip(*texts))
