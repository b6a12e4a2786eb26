#!/bin/sh
# Three rounds of the five stages, the paper's iterative procedure: make train, or sh recipes/train.sh.
#
#   SEED=7 make train     another seed; folders train/seed7/round1, round2, round3
#
# Costs about 75 minutes on two cores and 14 GB of disk. Run it again to resume.
#
# Round 1 is small. Round 2 trains V, M and C from scratch on random-policy episodes and on episodes of round 1's agent,
# which explores for up to half of its time. Round 3 trains all three further, also on episodes of round 2's agent.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/train/seed$SEED
need_disk 14 "$folder"

mkdir -p "$folder/round1" && cd "$folder/round1"
python "$root/01_generate_data.py" car_racing --total_episodes 400 --batch_size 100 --seed "$SEED"
python "$root/02_train_vae.py" --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 300 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 2 --generations 12 --eval_steps 4 --eval_episode 16 -s "$SEED"

mkdir -p "$folder/round2" && cd "$folder/round2"
python "$root/01_generate_data.py" car_racing --total_episodes 1000 --seed "$SEED"
python "$root/01_generate_data.py" car_racing --total_episodes 1000 --start_batch 5 --seed "$SEED" \
    --controller ../round1/controller/car_racing.cma.2.64.best.json
python "$root/02_train_vae.py" --steps 4000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 64 --steps 1000 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 2 --generations 24 --eval_steps 4 --eval_episode 64 -s "$SEED"

mkdir -p "$folder/round3" && cd "$folder/round3"
link_data ../round2
python "$root/01_generate_data.py" car_racing --total_episodes 1000 --start_batch 10 --seed "$SEED" \
    --controller ../round2/controller/car_racing.cma.2.64.best.json
python "$root/02_train_vae.py" --init_weights ../round2/vae/weights.h5 --steps 1500 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --init_weights ../round2/rnn/weights.h5 --batch_size 64 --steps 600 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 4 \
    --init_opt ../round2/controller/car_racing.cma.2.64.es.npz --sigma_init 0.05 --sigma_decay 0.97 \
    --generations 36 --eval_steps 4 --eval_episode 64 -s "$SEED"
python "$root/model.py" car_racing --filename controller/car_racing.cma.4.64.best.json --final_mode --seed "$SEED"

echo
echo "Controller: train/seed$SEED/round3/controller/car_racing.cma.4.64.best.json"
echo "Next:       make more SEED=$SEED    a fourth round; make dream SEED=$SEED    a controller trained in dreams"
