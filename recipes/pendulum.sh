#!/bin/sh
# Pendulum from pixels, whose controller is trained in dreams: make pendulum, or sh recipes/pendulum.sh.
#
#   SEED=7 make pendulum      another seed; each has a folder of its own, games/pendulum/seed7
#
# Costs about 7 processor minutes and 1 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/games/pendulum/seed$SEED
need_disk 1 "$folder"

cd "$folder"
python "$root/01_generate_data.py" pendulum --total_episodes 100 --batch_size 100 --time_steps 120 --seed "$SEED"
python "$root/02_train_vae.py" --batch_size 50 --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 1500 --seed "$SEED"
python "$root/05_train_controller.py" pendulum -n 16 -t 4 -e 8 --dream_mode 1 --subspace 0 --sigma_init 0.5 \
    --sigma_decay 0.99 --generations 300 --eval_steps 50 --eval_episode 8 -s "$SEED"
