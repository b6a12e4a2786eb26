#!/bin/sh
# A controller trained in dreams, after make train: make dream, or sh recipes/dream.sh.
#
#   make dream SEED=7     folders train/seed7/dream0, dream1, dream2
#
# Costs about 30 minutes on two cores and 4 GB of disk. Run it again to resume.
#
# dream0 searches in dreams of round 2's M. Each round after it records 200 episodes of the best mean so far and 200 of
# the last mean, which exploits errors of M, trains M further on them, and searches from scratch in the new dreams.
set -eu
. "$(dirname "$0")/common.sh"
train=$root/train/seed$SEED
if ! [ -e "$train/round2/rnn/weights.h5" ]; then
    echo "$0: error: train/seed$SEED/round2 holds no V and M: run make train SEED=$SEED first" >&2
    exit 2
fi
need_disk 4 "$train/dream0" "$train/dream1" "$train/dream2"
best=controller/car_racing_dream.cma.2.64.best.json
current=controller/car_racing_dream.cma.2.64.current.json

cd "$train/dream0"
mkdir -p data
(cd data && ln -sf ../../round2/data/* .)
ln -sfn ../round2/vae vae
ln -sfn ../round2/rnn rnn
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 2 --dream_mode 1 --generations 10 --eval_steps 1 -s "$SEED"

for round in 1 2; do
    last=../dream$((round - 1))
    cd "$train/dream$round"
    link_data "$last"
    ln -sfn "$last/vae" vae
    python "$root/01_generate_data.py" car_racing --start_batch $((8 + 2 * round)) --seed "$SEED" --controller "$last/$best"
    python "$root/01_generate_data.py" car_racing --start_batch $((9 + 2 * round)) --seed "$SEED" --controller "$last/$current"
    python "$root/03_generate_rnn_data.py"
    python "$root/04_train_rnn.py" --init_weights "$last/rnn/weights.h5" --batch_size 64 --steps 200 --seed "$SEED"
    python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 2 --dream_mode 1 --generations 10 --eval_steps 1 -s "$SEED"
done

python "$root/model.py" car_racing --filename $best --final_mode --seed "$SEED"
python "$root/model.py" car_racing --filename controller/car_racing_dream.cma.2.64.dream_best.json --final_mode --seed "$SEED"
