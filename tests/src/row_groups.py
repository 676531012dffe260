"""Opens each data file of one Iceberg table and prints its number of row groups as JSON: {path: number}.

The argument is a JSON object: "table", and "catalog", the properties of the REST catalog. Called by pyiceberg.rs.
"""

import json
import sys

import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog

request = json.loads(sys.argv[1])
table = load_catalog("it", type="rest", **request["catalog"]).load_table(request["table"])
paths = [task.file.file_path for task in table.scan().plan_files()]
print(json.dumps({path: pq.ParquetFile(table.io.new_input(path).open()).num_row_groups for path in paths}))
