# Shell functions that the recipes share. Sourced, not run.
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$root/.venv/bin:$PATH
SEED=${SEED:-0}

# need_disk GIGABYTES FOLDER: print what a recipe needs, and stop where the disk has less; what is there already counts.
need_disk() {
    mkdir -p "$2"
    used=$(du -sk "$2" | cut -f1)
    free=$(df -Pk "$2" | awk 'NR == 2 {print $4}')
    echo "$2 needs about $1 GB of disk; it holds $((used / 1048576)) GB, and $((free / 1048576)) GB are free"
    if [ $((used + free)) -lt $(($1 * 1048576)) ]; then
        echo "$0: error: not enough disk for $2: free $(($1 - (used + free) / 1048576)) GB more, or work on another disk" >&2
        exit 2
    fi
}

# link_data FOLDER: the batches of an earlier round, as links in data/; a stage that writes one anew replaces its link.
link_data() {
    mkdir -p data
    (cd data && ln -sf ../"$1"/data/*_data_*.npy ../"$1"/data/obs_*.json .)
}
