"""Superset's settings for one machine: its own database is SQLite on a volume, its secrets come from the environment."""

import os

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = "sqlite:////app/superset_home/superset.db?check_same_thread=false"

# Published on 127.0.0.1 without TLS.
TALISMAN_ENABLED = False
SESSION_COOKIE_SAMESITE = "Lax"

# Queries run in Trino; a dashboard waits for them.
SQLLAB_TIMEOUT = 120
SUPERSET_WEBSERVER_TIMEOUT = 120
ROW_LIMIT = 10_000
