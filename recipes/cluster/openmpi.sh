#!/bin/sh
# Stage 05 by Open MPI, of the cluster or of `apt install openmpi-bin`: sh recipes/cluster/openmpi.sh, in a folder with
# the files of stages 01 to 04. Run it again to resume.
#
#   RANKS=16 sh recipes/cluster/openmpi.sh                                        by default, one for each core
#   HOSTFILE=hosts sh recipes/cluster/openmpi.sh                                  hosts that ssh reaches
#   MPIRUN_ARGS=--oversubscribe RANKS=64 sh recipes/cluster/openmpi.sh            more ranks than cores
#   ARGS="car_racing -n 32 -t 2 -e 4" sh recipes/cluster/openmpi.sh               another search
#
# The file has a line for each host, as `node1 slots=16`. In a container, as root, Open MPI asks for
# MPIRUN_ARGS=--allow-run-as-root. In a job of Slurm or PBS it takes the job's hosts.
set -eu
PROJECT=$(cd "$(dirname "$0")/../.." && pwd)
MPIRUN=${MPIRUN:-mpirun}
if ! "$MPIRUN" --version 2> /dev/null | grep -q "Open MPI\|OpenRTE"; then
    echo "$0: error: $MPIRUN is not Open MPI's: load or install it, leave the .venv (deactivate), or set MPIRUN" >&2
    exit 2
fi

# mpi4py holds a build for MPICH and one for Open MPI; this chooses. -x sends a variable to the other hosts.
export MPI4PY_MPIABI=openmpi PYTHONUNBUFFERED=1
exec "$MPIRUN" -x MPI4PY_MPIABI -x PYTHONUNBUFFERED ${LD_LIBRARY_PATH:+-x LD_LIBRARY_PATH} \
    ${HOSTFILE:+--hostfile "$HOSTFILE"} ${RANKS:+-np "$RANKS"} ${MPIRUN_ARGS:-} \
    "$PROJECT/.venv/bin/python" "$PROJECT/05_train_controller.py" ${ARGS:-car_racing -n 64 -t 4 -e 2}
