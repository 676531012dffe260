"""The job that this project replaces: Spark Structured Streaming with foreachBatch, which counts each batch twice, appends
it, and groups it twice for a line of statistics. Runs until it is ended.

The argument is a JSON object: "brokers", "topic", "table" ("namespace.table"), "nessie" (address of Nessie's own API),
"s3", "s3_access_key", "s3_secret_key", "jars" (a folder), "state" (a folder), "trigger_ms". Called by spark.rs.
"""

import json
import os
import pathlib
import sys

request = json.loads(sys.argv[1])
# Iceberg's S3 client finds its keys here; the driver and its executors are one process.
os.environ["AWS_REGION"] = "us-east-1"
os.environ["AWS_ACCESS_KEY_ID"] = request["s3_access_key"]
os.environ["AWS_SECRET_ACCESS_KEY"] = request["s3_secret_key"]

from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql.functions import col, current_timestamp, from_json  # noqa: E402

TABLE = f"lakehouse.{request['table']}"
NUMBERS = {"screen_width", "screen_height", "viewport_width", "viewport_height", "scroll_depth", "time_on_page"}

catalog = {
    "": "org.apache.iceberg.spark.SparkCatalog",
    ".catalog-impl": "org.apache.iceberg.nessie.NessieCatalog",
    ".uri": request["nessie"],
    ".ref": "main",
    ".warehouse": "s3://openlakes/warehouse/",
    ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    ".s3.endpoint": request["s3"],
    ".s3.path-style-access": "true",
}
builder = (
    SparkSession.builder.master("local[*]")
    .appName("clickstream")
    .config("spark.driver.memory", "4g")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.jars", ",".join(map(str, pathlib.Path(request["jars"]).glob("*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
)
for key, value in catalog.items():
    builder = builder.config(f"spark.sql.catalog.lakehouse{key}", value)
spark = builder.getOrCreate()

columns = [name for name in spark.table(TABLE).columns if name != "ingestion_timestamp"]
schema = ", ".join(f"{name} {'INT' if name in NUMBERS else 'STRING'}" for name in columns)
records = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", request["brokers"])
    .option("subscribe", request["topic"])
    .option("startingOffsets", "earliest")
    .load()
)
fields = [col(f"data.{name}") for name in columns if name != "event_timestamp"]
events = records.select(from_json(col("value").cast("string"), schema).alias("data")).select(
    *fields,
    col("data.event_timestamp").cast("timestamp").alias("event_timestamp"),
    current_timestamp().alias("ingestion_timestamp"),
)


def write(batch, number):
    if batch.count() == 0:
        return
    print(f"batch {number}: {batch.count()} events", flush=True)
    batch.writeTo(TABLE).append()
    types = batch.groupBy("event_type").count().collect()
    devices = batch.groupBy("device_type").count().collect()
    print(f"batch {number}: {len(types)} types of events, {len(devices)} of devices", flush=True)


query = (
    events.writeStream.foreachBatch(write)
    .option("checkpointLocation", f"{request['state']}/checkpoint")
    .trigger(processingTime=f"{request['trigger_ms']} milliseconds")
    .start()
)
query.awaitTermination()
