"""Adds an empty snapshot to a table with PyIceberg: a commit of somebody else, which knows of no position.

The argument is a JSON object: "table", "catalog", the properties of the REST catalog, and "summary", what to put into the
snapshot's. Called by pyiceberg.rs.
"""

import json
import sys

from pyiceberg.catalog import load_catalog

request = json.loads(sys.argv[1])
table = load_catalog("it", type="rest", **request["catalog"]).load_table(request["table"])
with table.transaction() as transaction:
    with transaction.update_snapshot(snapshot_properties=request["summary"]).fast_append():
        pass
print(json.dumps({"snapshot": table.refresh().metadata.current_snapshot_id}))
