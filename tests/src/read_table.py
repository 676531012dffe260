"""Reads one Iceberg table with PyIceberg and prints what it found as JSON: {"rows", "distinct", "columns"}.

The argument is a JSON object: "table", and "catalog", the properties of the REST catalog. Called by pyiceberg.rs.
"""

import json
import sys

import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog

request = json.loads(sys.argv[1])
table = load_catalog("it", type="rest", **request["catalog"]).load_table(request["table"])
ids = table.scan(selected_fields=("event_id",)).to_arrow()["event_id"]
print(
    json.dumps(
        {
            "rows": len(ids),
            "distinct": pc.count_distinct(ids).as_py(),
            "columns": {field.name: str(field.field_type) for field in table.schema().fields},
        }
    )
)
