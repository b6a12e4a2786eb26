#!/bin/sh
# Install the original CarRacing-v0 (gym 0.17.2, pyglet 1.5) into a virtual environment, for tests/test_original.py:
#
#   sh tests/original/install.sh original-gym
#   ORIGINAL_GYM_PYTHON=$PWD/original-gym/bin/python python -m pytest tests/test_original.py
#
# It renders with OpenGL and needs a display: apt install xvfb xauth libgl1 libgl1-mesa-dri libglu1-mesa
set -eu
venv=${1:?usage: install.sh DIRECTORY}
python3 -m venv "$venv"
# Box2D is the maintained fork of box2d-py. gym is installed without dependencies: its pins do not install any more.
"$venv/bin/pip" install --quiet setuptools==80.9.0 wheel==0.45.1 \
    numpy==1.26.4 scipy==1.15.3 pyglet==1.5.27 cloudpickle==3.1.2 Box2D==2.3.10
"$venv/bin/pip" install --quiet --no-binary gym --no-deps --no-build-isolation gym==0.17.2
"$venv/bin/python" -c "import Box2D, gym; print('gym', gym.__version__, 'Box2D', Box2D.__version__)"
