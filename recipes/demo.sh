#!/bin/sh
# The five stages at a small scale, then a report and a video: make demo, or sh recipes/demo.sh.
#
#   SEED=7 make demo      another seed; each has a folder of its own, demo/seed7
#
# Costs 6 to 15 minutes on two cores and 2 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/demo/seed$SEED
need_disk 2 "$folder"
cd "$folder"
controller=controller/car_racing.cma.1.64.best.json

python "$root/01_generate_data.py" car_racing --total_episodes 400 --batch_size 100 --seed "$SEED"
python "$root/02_train_vae.py" --steps 1000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 300 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 1 --generations 20 --eval_steps 4 --eval_episode 8 -s "$SEED"
python "$root/experiments/report.py" all car_racing --filename $controller --num_episode 16 --seed "$SEED"
python "$root/model.py" car_racing --filename $controller --seed "$SEED" --record_video

echo
echo "Video:  demo/seed$SEED/videos/car_racing.cma.1.64.best.seed$SEED.mp4"
echo "Report: demo/seed$SEED/report/index.html"
echo "Next:   make train SEED=$SEED    three rounds at full scale"
