#!/bin/sh
# The five stages at a small scale, in two rounds, then a report and a video: make demo, or sh recipes/demo.sh.
#
#   SEED=7 make demo      another seed; each has a folder of its own, demo/seed7
#
# Costs about 12 minutes on two cores and 3 GB of disk. Run it again to resume.
#
# Round 1 learns from random driving, in demo/seed7/round1. The second round trains all three further, also on 200
# episodes of the first round's agent.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/demo/seed$SEED
need_disk 3 "$folder"
first=car_racing.cma.1.64 controller=controller/car_racing.cma.2.64.best.json

mkdir -p "$folder/round1" && cd "$folder/round1"
python "$root/01_generate_data.py" car_racing --total_episodes 400 --batch_size 100 --seed "$SEED"
python "$root/02_train_vae.py" --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 300 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 1 --subspace 24 --generations 20 --eval_steps 4 \
    --eval_episode 32 -s "$SEED"

cd "$folder"
link_data round1
python "$root/01_generate_data.py" car_racing --total_episodes 200 --batch_size 100 --start_batch 4 --seed "$SEED" \
    --controller round1/controller/$first.best.json
python "$root/02_train_vae.py" --init_weights round1/vae/weights.h5 --steps 400 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --init_weights round1/rnn/weights.h5 --batch_size 32 --steps 200 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 2 --subspace 24 \
    --init_opt round1/controller/$first.es.npz --sigma_init 0.05 --generations 10 --eval_steps 2 --eval_episode 32 -s "$SEED"
python "$root/experiments/report.py" all car_racing --filename $controller --num_episode 16 --seed "$SEED"
python "$root/model.py" car_racing --filename $controller --seed "$SEED" --record_video

echo
echo "Video:  demo/seed$SEED/videos/car_racing.cma.2.64.best.seed$SEED.mp4"
echo "Report: demo/seed$SEED/report/index.html"
echo "Next:   make train SEED=$SEED    three rounds at full scale"
