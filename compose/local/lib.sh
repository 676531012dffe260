# shellcheck shell=bash
# Shared by fetch, up, down and sql: settings, paths, messages, Java, processes. Sourced, never run.
# shellcheck disable=SC2034 # the variables are used by those scripts

LOCAL_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
CONFIG_DIR=$(cd -- "$LOCAL_DIR/../config" && pwd)
# shellcheck source-path=SCRIPTDIR source=stack.env
source "$LOCAL_DIR/stack.env"

SERVERS=(kafka minio nessie trino)
ARTIFACTS=(kafka minio nessie trino trino-cli pyiceberg)
# What only the benchmark wants: fetched when named.
PEERS=(iceberg-sink spark)

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}

# Prints the comment block at the top of the calling script, without its marks.
usage() { sed -n '3,/^$/{/^$/d;s/^# \{0,1\}//;p}' "$0"; }

need() { command -v "$1" >/dev/null 2>&1 || die "'$1' is not on the PATH; install it ($2) and try again"; }

is_one_of() {
    local wanted=$1 name
    shift
    for name in "$@"; do [[ $name == "$wanted" ]] && return 0; done
    return 1
}

# ---- paths -------------------------------------------------------------------------------------------------------------

# The folder of a fetched artefact. The version is part of the name, so that two versions never mix.
artifact_dir() {
    case $1 in
        kafka) say "$CLICKSTREAM_CACHE/kafka-$KAFKA_VERSION" ;;
        minio) say "$CLICKSTREAM_CACHE/minio-$MINIO_VERSION" ;;
        nessie) say "$CLICKSTREAM_CACHE/nessie-$NESSIE_VERSION" ;;
        trino) say "$CLICKSTREAM_CACHE/trino-$TRINO_VERSION" ;;
        trino-cli) say "$CLICKSTREAM_CACHE/trino-cli-$TRINO_VERSION" ;;
        pyiceberg) say "$CLICKSTREAM_CACHE/pyiceberg-$PYICEBERG_VERSION" ;;
        iceberg-sink) say "$CLICKSTREAM_CACHE/iceberg-sink-$ICEBERG_VERSION" ;;
        spark) say "$CLICKSTREAM_CACHE/spark-$SPARK_VERSION" ;;
        *) die "unknown artefact '$1'" ;;
    esac
}

is_fetched() { [[ -e $(artifact_dir "$1")/.complete ]]; }

data_dir() { say "$CLICKSTREAM_STATE/$1"; }
log_file() { say "$CLICKSTREAM_STATE/$1.log"; }
pid_file() { say "$CLICKSTREAM_STATE/$1.pid"; }

# ---- Java --------------------------------------------------------------------------------------------------------------

# The feature version of a JDK or JRE folder, or nothing.
java_version_of() {
    local version=
    [[ -x $1/bin/java ]] || return 0
    if [[ -r $1/release ]]; then
        version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release")
    else
        version=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    fi
    printf '%s' "$version"
}

# The `java` of the oldest installed Java that is at least version $1. $2 says what it is for.
find_java() {
    local min=$1 purpose=$2 home version best_home='' best_version=999 path_java
    local homes=("${JAVA_HOME:-/nonexistent}" /usr/lib/jvm/* "$HOME"/.sdkman/candidates/java/*)
    path_java=$(command -v java || true)
    [[ -z $path_java ]] || homes+=("$(dirname -- "$(dirname -- "$(readlink -f -- "$path_java")")")")
    for home in "${homes[@]}"; do
        version=$(java_version_of "$home")
        [[ -n $version ]] || continue
        if ((version >= min && version < best_version)); then
            best_home=$home
            best_version=$version
        fi
    done
    [[ -n $best_home ]] || die "$purpose needs Java $min or newer, and none was found in JAVA_HOME, /usr/lib/jvm or on" \
        "the PATH; install a JDK (one Temurin 25 package, 'temurin-25-jdk', serves all servers)"
    say "$best_home/bin/java"
}

# ---- processes ---------------------------------------------------------------------------------------------------------

# Every server carries its data folder on its command line: by that a pid is known to be still that server, and no other
# process that got the same number since.
is_running() {
    local pid
    pid=$(cat -- "$(pid_file "$1")" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
    grep -qzF -- "$(data_dir "$1")" "/proc/$pid/cmdline" 2>/dev/null
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Holds the state folder for one `up` or `down` at a time. The servers are started without the lock's descriptor.
lock_state() {
    need flock util-linux
    mkdir -p -- "$CLICKSTREAM_STATE"
    exec 9>"$CLICKSTREAM_STATE/lock"
    flock -w 600 9 || die "another up or down has held $CLICKSTREAM_STATE/lock for ten minutes"
}

# The environment that the shared files in compose/config read.
export_config_env() {
    export S3_ACCESS_KEY S3_SECRET_KEY S3_REGION S3_BUCKET TRINO_PORT
    S3_ENDPOINT="http://127.0.0.1:$MINIO_PORT"
    CATALOG_HOST=127.0.0.1
    CATALOG_PORT=$NESSIE_PORT
    CATALOG_MANAGEMENT_PORT=$NESSIE_MANAGEMENT_PORT
    CATALOG_DATA=$(data_dir nessie)
    CATALOG_URI="http://127.0.0.1:$NESSIE_PORT/iceberg/"
    TRINO_HOST=127.0.0.1
    BROKER_CONTROLLER_QUORUM_VOTERS="1@127.0.0.1:$KAFKA_CONTROLLER_PORT"
    BROKER_LISTENERS="BROKER://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT"
    BROKER_LISTENERS+=",HOST://127.0.0.1:$KAFKA_FAULTS_PORT"
    BROKER_ADVERTISED_LISTENERS="BROKER://127.0.0.1:$KAFKA_PORT,HOST://127.0.0.1:$KAFKA_FAULTS_ADVERTISED_PORT"
    BROKER_LOG_DIRS=$(data_dir kafka)
    export S3_ENDPOINT CATALOG_HOST CATALOG_PORT CATALOG_MANAGEMENT_PORT CATALOG_DATA CATALOG_URI TRINO_HOST
    export BROKER_CONTROLLER_QUORUM_VOTERS BROKER_LISTENERS BROKER_ADVERTISED_LISTENERS BROKER_LOG_DIRS
}
