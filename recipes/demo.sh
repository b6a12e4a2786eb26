#!/bin/sh
# The five stages at a small scale, then a report and a video: make demo, or sh recipes/demo.sh.
#
#   SEED=7 make demo          another seed; each has a folder of its own, demo/seed7
#   QUALITY=900 make demo     16 generations more, also for a demo that has finished
#
# Costs about 16 minutes on two cores, on a slow machine half an hour, and 3 GB of disk. Run it again to resume.
set -eu
. "$(dirname "$0")/common.sh"
folder=$root/demo/seed$SEED
need_disk 3 "$folder"
name=car_racing.cma.1.64
case ${QUALITY:-} in
    "") generations=48 ;;
    900) generations=64 ;;
    *)
        echo "$0: error: QUALITY=$QUALITY: leave it out, or set 900" >&2
        exit 2
        ;;
esac

mkdir -p "$folder" && cd "$folder"
python "$root/01_generate_data.py" car_racing --total_episodes 400 --batch_size 100 --seed "$SEED"
python "$root/02_train_vae.py" --batch_size 32 --steps 2000 --seed "$SEED"
python "$root/03_generate_rnn_data.py"
python "$root/04_train_rnn.py" --batch_size 32 --steps 300 --seed "$SEED"
python "$root/05_train_controller.py" car_racing -n 16 -t 4 -e 1 --subspace 24 --generations $generations --eval_steps 4 \
    --eval_episode 32 -s "$SEED"
python "$root/experiments/report.py" all car_racing --filename controller/$name.best.json --num_episode 16 --seed "$SEED"
python "$root/model.py" car_racing --filename controller/$name.best.json --seed "$SEED" --record_video

echo
echo "Video:  demo/seed$SEED/videos/$name.best.seed$SEED.mp4"
echo "Report: demo/seed$SEED/report/index.html"
echo "Next:   make train SEED=$SEED    three rounds at full scale"
