"""Compacts a table by Iceberg's own procedure, and prints what it said and what the call alone has cost the JVM.

Goes on where spark_session.py ends; of its request it takes "min_input_files" too. Called by engine.rs.
"""

import time

TICKS = os.sysconf("SC_CLK_TCK")
jvm = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()


def spent():
    """CPU-seconds of the JVM, user and system."""
    fields = pathlib.Path(f"/proc/{jvm}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


spark.table(TABLE).schema  # The catalog is connected and the table loaded before the clock starts.
before, began = spent(), time.monotonic()
said = spark.sql(
    f"CALL lakehouse.system.rewrite_data_files(table => '{request['table']}', "
    f"options => map('min-input-files', '{request['min_input_files']}'))"
).collect()[0].asDict()
print(json.dumps({"said": said, "call_seconds": time.monotonic() - began, "call_cpu_seconds": spent() - before}), flush=True)
spark.stop()
