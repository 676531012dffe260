"""A user of PyIceberg who writes the first rows of tables, and a reader who counts them, for as long as standard input
is open.

The argument is a JSON object: "catalog", the properties of the REST catalog, and "definition", the schema and partition
spec of the table of clicks. Each line is a command, a JSON object with an "id" that its answer bears:

    {"do": "load", "tables": [...]}                        load them, and keep them as they are now
    {"do": "append", "table": t, "rows": [n, ...],         wait, take the table as kept (without one: make it, or load it
     "after_ms": n, "hold_ms": n}                          if somebody else has), wait again, append to it as it was
                                                           then; more commits follow at once
    {"do": "count", "tables": [...]}                       rows, distinct event ids, and rows of ours in each

Appends run side by side. A commit that is refused is tried again on a fresh load, as a user would. Called by
first_writer.rs.
"""

import datetime
import json
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform

# PyIceberg asks the package pyiceberg_core for the day of a time; Arrow can tell it, too.
EPOCH = pa.scalar(datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc), pa.timestamp("us", "UTC"))
DayTransform.pyarrow_transform = lambda _transform, _source: lambda times: pc.days_between(EPOCH, times).cast(pa.int32())

warnings.filterwarnings("ignore", message="Parquet writer option")
arguments = json.loads(sys.argv[1])
schema = Schema.model_validate(arguments["definition"]["schema"])
spec = PartitionSpec.model_validate(arguments["definition"]["partition-spec"])
catalog = load_catalog("it", type="rest", **arguments["catalog"])
kept = {}
said = threading.Lock()
OURS = "foreign-"


def load(command):
    for name in command["tables"]:
        kept[name] = catalog.load_table(name)
    return {}


def begin(name):
    """The table as kept, or made, or as somebody else has made it."""
    if name in kept:
        return kept.pop(name), False
    try:
        return catalog.create_table(name, schema=schema, partition_spec=spec), True
    except TableAlreadyExistsError:
        return catalog.load_table(name), False


def append(command):
    time.sleep(command["after_ms"] / 1000)
    table, created = begin(command["table"])
    time.sleep(command["hold_ms"] / 1000)
    first, told, conflicts = 0, None, 0
    for rows in command["rows"]:
        table, stale, met = append_rows(table, command["table"], range(first, first + rows))
        first, conflicts = first + rows, conflicts + met
        told = told or {"snapshot": table.current_snapshot().snapshot_id, "without_base": stale}
    return {**told, "conflicts": conflicts, "created": created}


def append_rows(table, name, numbers):
    """The table after the append, whether it had no snapshot before, and conflicts met."""
    now = datetime.datetime.now(datetime.timezone.utc)
    rows = [{"event_id": f"{OURS}{name}-{n}", "event_timestamp": now, "event_type": "click"} for n in numbers]
    rows = pa.Table.from_pylist(rows, schema=table.schema().as_arrow())
    conflicts = 0
    while True:
        stale = table.current_snapshot() is None
        try:
            table.append(rows)
            return table, stale, conflicts
        # The second comes from its own second try: it looks for the snapshot that it began from, and Nessie shows one.
        except (CommitFailedException, ValidationException):
            conflicts += 1
            table = catalog.load_table(name)


def count_one(name):
    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return {"rows": 0, "distinct": 0, "foreign": 0}
    ids = table.scan(selected_fields=("event_id",)).to_arrow()["event_id"]
    return {
        "rows": len(ids),
        "distinct": pc.count_distinct(ids).as_py(),
        "foreign": pc.sum(pc.starts_with(ids, pattern=OURS)).as_py() or 0,
    }


def count(command):
    return {"tables": {name: count_one(name) for name in command["tables"]}}


def answer(command):
    try:
        result = {"load": load, "append": append, "count": count}[command["do"]](command)
    except Exception as error:  # told to the test, which fails with it
        result = {"error": f"{type(error).__name__}: {error}"}
    with said:
        print(json.dumps({"id": command["id"], **result}), flush=True)


with ThreadPoolExecutor(max_workers=64) as pool:
    for line in sys.stdin:
        pool.submit(answer, json.loads(line))
