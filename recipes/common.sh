# Shell functions that the recipes share. Sourced, not run.
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$root/.venv/bin:$PATH
SEED=${SEED:-0}

# --help: the comment at the top of the recipe.
case ${1:-} in -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac

# need_disk GIGABYTES FOLDER...: print what a recipe needs in its folders, and stop where the disk has less; what the
# folders hold already counts.
need_disk() {
    gigabytes=$1
    shift
    mkdir -p "$@"
    used=$(du -skc "$@" | tail -n 1 | cut -f1)
    free=$(df -Pk "$1" | awk 'NR == 2 {print $4}')
    echo "$* needs about $gigabytes GB of disk; it holds $((used / 1048576)) GB, and $((free / 1048576)) GB are free"
    if [ $((used + free)) -lt $((gigabytes * 1048576)) ]; then
        missing=$((gigabytes - (used + free) / 1048576))
        echo "$0: error: not enough disk for $1: free $missing GB more, or work on another disk" >&2
        exit 2
    fi
}

# link_data FOLDER: the batches of an earlier round, as links in data/; a stage that writes one anew replaces its link.
link_data() {
    mkdir -p data
    (cd data && ln -sf ../"$1"/data/*_data_*.npy ../"$1"/data/obs_*.json .)
}
