#!/bin/sh
# Stage 05 under Slurm: sbatch recipes/cluster/slurm.sh, in the project's folder, which all hosts share, and which holds
# the files of stages 01 to 04. Submit it again to resume.
#
#   ARGS="car_racing -n 256 -t 1 -e 4" sbatch --ntasks=256 recipes/cluster/slurm.sh    another search, on 256 ranks
#   PROJECT=~/world-models sbatch ~/world-models/recipes/cluster/slurm.sh              in a folder of its own
#   sbatch --dependency=singleton recipes/cluster/slurm.sh                             after the jobs of this name
#
# Three submissions of the last line run three time limits, one after the other.
#
#SBATCH --job-name=world-models --ntasks=64 --cpus-per-task=1 --mem-per-cpu=1G --time=04:00:00
# A minute before the time limit the ranks receive SIGTERM: they say what is saved, and end.
#SBATCH --signal=TERM@60
# A job that is pre-empted, or has lost a host, waits in the queue again, then resumes, and adds to what it has printed.
#SBATCH --requeue --open-mode=append
set -eu
PROJECT=${PROJECT:-${SLURM_SUBMIT_DIR:?is not set: submit this file by sbatch}}
export PYTHONUNBUFFERED=1

# By pmi2 Slurm tells MPICH of its ranks. Without --kill-on-bad-exit a job may wait for a rank that has ended. A lost
# host is left to Slurm, which queues the job again after SlurmdTimeout, 300 s by default; the ranks' limit is longer.
srun --mpi=pmi2 --kill-on-bad-exit=1 "$PROJECT/.venv/bin/python" "$PROJECT/05_train_controller.py" \
    --lost_host_seconds 400 ${ARGS:-car_racing -n 64 -t 4 -e 2}
