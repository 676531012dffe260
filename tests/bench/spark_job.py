"""The job that this project replaces: Spark Structured Streaming with foreachBatch, which counts each batch twice, appends
it, and groups it twice for a line of statistics. Runs until it is ended.

Goes on where spark_session.py ends; of its request it takes "brokers", "topic", "state" (a folder) and "trigger_ms" too.
Called by spark.rs.
"""

from pyspark.sql.functions import col, current_timestamp, from_json  # noqa: E402

NUMBERS = {"screen_width", "screen_height", "viewport_width", "viewport_height", "scroll_depth", "time_on_page"}

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
