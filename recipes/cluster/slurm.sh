#!/bin/sh
#SBATCH --ntasks=64 --cpus-per-task=1 --time=04:00:00
# Stage 05 on 64 ranks under Slurm: sbatch recipes/cluster/slurm.sh, in a folder that all hosts share and that holds the
# files of stages 01 to 04. Submit it again to resume.
. .venv/bin/activate
srun --mpi=pmi2 --kill-on-bad-exit=1 python 05_train_controller.py car_racing -n 64 -t 4 -e 2
