"""Maintenance of the clickstream table by Airflow's clock: each task runs one job of `catalog-sync run --once`, and ends.

For Airflow 2.4 and newer, on workers that have the program `catalog-sync` (its container image, for example). `maintenance.json` is
where the Airflow variable `clickstream_maintenance` says, the keys of the object store are login and password of the Airflow
connection `clickstream_object_store`; all else of the connection is in the file. A job that fails fails its task, and so does a table
that is not complete. The tasks of a run go one after the other; two runs at once would do no harm, and the second find less to do.
"""

from datetime import datetime, timedelta

from airflow import DAG

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # before Airflow 3
    from airflow.operators.bash import BashOperator

CONFIG = "{{ var.value.get('clickstream_maintenance', '/etc/clickstream/maintenance.json') }}"
SECRETS = {
    "ICEBERG_CATALOG_S3_ACCESS_KEY_ID": "{{ conn.clickstream_object_store.login }}",
    "ICEBERG_CATALOG_S3_SECRET_ACCESS_KEY": "{{ conn.clickstream_object_store.password }}",
}
COMMON = {
    "start_date": datetime(2026, 1, 1),
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["clickstream", "iceberg"],
    "doc_md": __doc__,
    "default_args": {
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=1),
    },
}


def job(name, **options):
    """A task that runs one job, now."""
    command = f"exec catalog-sync run --config '{CONFIG}' --once --json --job {name}"
    return BashOperator(task_id=name, bash_command=command, env=SECRETS, append_env=True, **options)


with DAG("clickstream_compact", schedule="*/10 * * * *", **COMMON):
    job("compact") >> job("rewrite_manifests")

with DAG("clickstream_verify", schedule="0 4 * * *", **COMMON):
    job("verify", retries=0)
