#!/bin/sh
# Stage 05 on hosts that ssh reaches, by MPICH's mpirun: sh recipes/cluster/hostfile.sh, in a folder with the files of
# stages 01 to 04. Run it again to resume.
#
#   HOSTFILE=other sh recipes/cluster/hostfile.sh                                 by default, the file `hosts`
#   ARGS="car_racing -n 32 -t 2 -e 4" sh recipes/cluster/hostfile.sh              another search
#
# The file has a line for each host, its name and its number of ranks, as `node1:16`. ssh must not ask for a password.
# On all hosts the project has the same path, and this folder exists; the first needs its files, the others do not.
set -eu
PROJECT=$(cd "$(dirname "$0")/../.." && pwd)
HOSTFILE=${HOSTFILE:-hosts}
export PYTHONUNBUFFERED=1
if ! [ -e "$HOSTFILE" ]; then
    echo "$0: error: there is no $HOSTFILE: write it, a line such as node1:16 for each host, or set HOSTFILE" >&2
    exit 2
fi

exec "$PROJECT/.venv/bin/mpirun" -launcher ssh -f "$HOSTFILE" \
    "$PROJECT/.venv/bin/python" "$PROJECT/05_train_controller.py" ${ARGS:-car_racing -n 64 -t 4 -e 2}
