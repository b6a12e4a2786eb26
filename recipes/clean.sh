#!/bin/sh
# Remove demo/ or train/, after naming what they hold: make clean-demo, make clean-train, each with CONFIRM=1 to delete.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in demo | train) ;; *) echo "usage: sh recipes/clean.sh demo|train" >&2; exit 2 ;; esac
if ! [ -d "$1" ]; then
    echo "there is no $1/"
    exit 0
fi
for folder in "$1"/*/; do
    [ -d "$folder" ] || continue
    echo "$(du -sh "$folder" | cut -f1)  last changed $(date -r "$folder" '+%Y-%m-%d %H:%M')  $folder"
done
if [ "${CONFIRM:-}" = 1 ]; then
    rm -rf "$1"
    echo "removed $1/"
else
    echo "make clean-$1 CONFIRM=1 removes this"
fi
