#!/bin/sh
# One more round after make train, also on episodes of the last round's agent: make more, or sh recipes/more.sh.
#
#   make more SEED=7              round 4, in train/seed7/round4
#   make more SEED=7 ROUND=5      round 5, and so on
#
# Costs about 50 minutes on two cores and 5 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
ROUND=${ROUND:-4}
last=../round$((ROUND - 1))
folder=$root/train/seed$SEED/round$ROUND
if ! [ -e "$root/train/seed$SEED/round$((ROUND - 1))/controller/car_racing.cma.4.64.best.json" ]; then
    echo "$0: error: train/seed$SEED/round$((ROUND - 1)) holds no controller: run make train SEED=$SEED first" >&2
    exit 2
fi
need_disk 5 "$folder"
cd "$folder"

link_data "$last"
python "$root/01_generate_data.py" car_racing --total_episodes 1000 --start_batch $((5 * ROUND - 5)) --seed "$SEED" \
    --controller "$last/controller/car_racing.cma.4.64.best.json"
python "$root/02_train_vae.py" --init_weights "$last/vae/weights.h5" --steps 2500 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --init_weights "$last/rnn/weights.h5" --batch_size 64 --steps 800 --seed "$SEED"
# A search seed of its own: other tracks than those of the rounds before.
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 4 \
    --init_opt "$last/controller/car_racing.cma.4.64.es.npz" --sigma_init 0.05 --sigma_decay 0.97 \
    --generations 12 --eval_steps 4 --eval_episode 64 -s $((10 * SEED + ROUND))
python "$root/model.py" car_racing --filename controller/car_racing.cma.4.64.best.json --final_mode --seed "$SEED"
