#!/bin/sh
# The five stages in Snake, as docs/your_environment.md gives them: make snake, or sh recipes/snake.sh.
#
#   SEED=7 make snake      another seed; each has a folder of its own, games/snake/seed7
#
# Costs about 16 processor minutes and 1 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/games/snake/seed$SEED
need_disk 1 "$folder"

cd "$folder"
python "$root/01_generate_data.py" snake --total_episodes 1000 --time_steps 40 --action_refresh_rate 3 --seed "$SEED"
python "$root/02_train_vae.py" --batch_size 50 --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 100 --steps 500 --seed "$SEED"
python "$root/05_train_controller.py" snake -n 8 -t 4 -e 4 --max_length 100 --subspace 0 --sigma_init 0.5 \
    --sigma_decay 0.99 --generations 200 --eval_steps 40 --eval_episode 32 -s "$SEED"
