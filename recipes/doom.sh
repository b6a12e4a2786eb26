#!/bin/sh
# Doom Take Cover, the paper's second experiment; its controller is trained in dreams: make doom, or sh recipes/doom.sh.
#
#   SEED=7 make doom      another seed; folders games/doom_take_cover/seed7/round1, round2
#
# Costs about two hours on two cores and 16 GB of disk. Run it again to resume.
#
# Round 1 learns from 900 episodes of random actions, each held for 5, 20 or 60 tics. Actions held for 5 tics alone never
# lead to the walls, and the search would find that M knows no fireballs there. Round 2 trains M further, also on 300
# episodes of round 1's agent, and searches anew in the new dreams. Both choose the controller by dreams alone.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/games/doom_take_cover/seed$SEED
need_disk 16 "$folder"
first=../round1/controller/doom_take_cover_dream.cma.16.64.dream_best.json
best=controller/doom_take_cover_dream.cma.32.64.dream_best.json

mkdir -p "$folder/round1" && cd "$folder/round1"
batch=0
for rate in 5 20 60; do
    python "$root/01_generate_data.py" doom_take_cover --total_episodes 300 --batch_size 100 --start_batch $batch \
        --time_steps 1000 --action_refresh_rate $rate --seed "$SEED"
    batch=$((batch + 3))
done
python "$root/02_train_vae.py" --steps 5000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 1000 --seed "$SEED"
python "$root/05_train_controller.py" doom_take_cover -n 16 -t 4 -e 16 --dream_mode 1 --temperature 1.15 \
    --generations 5 --eval_steps 5 --eval_episode 64 -s "$SEED"

mkdir -p "$folder/round2" && cd "$folder/round2"
link_data ../round1
ln -sfn ../round1/vae vae
python "$root/01_generate_data.py" doom_take_cover --total_episodes 300 --batch_size 100 --start_batch 9 \
    --time_steps 1000 --action_refresh_rate 20 --seed "$SEED" --controller "$first"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --init_weights ../round1/rnn/weights.h5 --batch_size 32 --steps 2000 --seed "$SEED"
python "$root/05_train_controller.py" doom_take_cover -n 16 -t 4 -e 32 --max_length 1000 --dream_mode 1 \
    --temperature 1.15 --sigma_init 0.2 --sigma_decay 0.95 --generations 20 --eval_steps 4 --eval_episode 100 -s "$SEED"
python "$root/model.py" doom_take_cover --filename $best --final_mode --num_episode 400 --seed "$SEED"
python "$root/model.py" doom_take_cover --filename $best --record_video --seed "$SEED"
