"""A Spark with the lakehouse in it, on a driver with its executors in one process.

The argument is a JSON object: "table" ("namespace.table"), "nessie" (address of Nessie's own API), "s3", "s3_access_key",
"s3_secret_key", "jars" (a folder). What follows is another file's: spark.rs puts one behind this.
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

TABLE = f"lakehouse.{request['table']}"

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
