"""Appends one row after another to a table of clicks with PyIceberg, until standard input ends, and prints
{"rows", "lost"}: appends that are in the table, and those that lost against another commit and were begun anew.

The argument is a JSON object: "catalog", the properties of the REST catalog; "table"; "every", seconds between two
appends. Called by foreign.rs.
"""

import json
import select
import sys
import uuid
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException

request = json.loads(sys.argv[1])
catalog = load_catalog("it", type="rest", **request["catalog"])


def write_row(table):
    """Writes a file of one row, without field ids: the way of files that an engine takes over from elsewhere."""
    schema = pa.schema([field.remove_metadata() for field in table.schema().as_arrow()])
    row = {name: None for name in schema.names} | {"event_id": str(uuid.uuid4()), "event_type": "page_view"}
    now = datetime.now(timezone.utc)
    row |= {field.name: now for field in schema if pa.types.is_timestamp(field.type)}
    path = f"{table.location()}/data/foreign-{uuid.uuid4()}.parquet"
    with table.io.new_output(path).create() as file:
        pq.write_table(pa.Table.from_pylist([row], schema=schema), file)
    return path


rows = lost = 0
# The wait for the end of standard input is the pause between two appends.
while not select.select([sys.stdin], [], [], request["every"])[0]:
    table = catalog.load_table(request["table"])
    path = write_row(table)
    try:
        table.add_files([path], check_duplicate_files=False)
        rows += 1
    # PyIceberg's own second try looks for a snapshot that a catalog with one snapshot (Nessie) no longer shows.
    except (CommitFailedException, ValidationException):
        lost += 1
print(json.dumps({"rows": rows, "lost": lost}))
