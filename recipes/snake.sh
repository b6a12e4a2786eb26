#!/bin/sh
# The five stages in Snake, as docs/your_environment.md gives them: make snake, or sh recipes/snake.sh.
#
#   SEED=7 make snake      another seed; each has a folder of its own, games/snake/seed7
#
# Costs about 10 processor minutes and 1 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/games/snake/seed$SEED
need_disk 1 "$folder"

cd "$folder"
python "$root/01_generate_data.py" snake --total_episodes 1000 --time_steps 40 --seed "$SEED"
python "$root/02_train_vae.py" --batch_size 50 --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 100 --steps 1000 --seed "$SEED"
python "$root/05_train_controller.py" snake -n 8 -t 4 -e 8 --subspace 12 --generations 30 -s "$SEED"
