#!/bin/sh
# Starts ViZDoom's game, whose program is $VIZDOOM_ENGINE, so that it ends with its parent also where that is killed.
if command -v setpriv > /dev/null; then
    exec setpriv --pdeathsig KILL "$VIZDOOM_ENGINE" "$@"
fi
exec "$VIZDOOM_ENGINE" "$@"
