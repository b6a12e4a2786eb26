# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour of World Models, staged
#
# A car learns to drive from pixels with three models: **V**, a variational autoencoder, turns a frame into 32 numbers
# *z*; **M**, an LSTM with a mixture density output, predicts the next *z* and keeps a memory *h*; **C**, a linear
# layer, turns *z* and *h* into an action. This notebook looks at each of them, and at the end trains all of them at a
# tiny size. It takes about three minutes on two cores, without a GPU. Paper: Ha and Schmidhuber, *World Models*, 2018
# ([arXiv 1803.10122](https://arxiv.org/abs/1803.10122)).
#
# **Set-up.** After `make setup`, choose the Python of `.venv` as the kernel. The next cell is for Colab, where this
# notebook **has not been tried**; elsewhere it does nothing.

# %%
import sys

if "google.colab" in sys.modules:  # not tried
    import subprocess
    from pathlib import Path

    REPOSITORY = ""  # the address of this project
    subprocess.run(["git", "clone", REPOSITORY, "world-models"], check=True)
    lines = Path("world-models/requirements.txt").read_text().partition("# tests")[0].splitlines()
    wanted = [line for line in lines if "==" in line]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
    sys.path.insert(0, "world-models")

# %% [markdown]
# ## The pretrained agent
#
# `load_agent` loads V, M and C; `make_env` makes the environment that they were trained in. The agent drives a
# hundred steps of a track that it has never seen. `reset(seed=…)` decides the whole track.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

from model import load_agent

agent = load_agent()
env = agent.make_env()


def drive(seed, steps):
    """The frames, rewards and actions of an episode's first steps; rewards[t] came with frames[t]."""
    agent.reset()
    frame, _ = env.reset(seed=seed)
    frames, rewards, actions = [frame], [0.0], []
    for _ in range(steps):
        actions.append(agent.act(frame, rewards[-1]))
        frame, reward, *_ = env.step(actions[-1])
        frames.append(frame)
        rewards.append(float(reward))
    return np.array(frames), np.array(rewards), np.array(actions)


SEED, NOW, AHEAD = 7, 100, 60
frames, rewards, actions = drive(SEED, NOW + AHEAD)
print(f"{len(frames)} frames, {frames.dtype} {frames.shape[1:]}; score so far {rewards.sum():.1f}")


# %% [markdown]
# ## V: a frame, its z, its reconstruction
#
# The encoder sees 64 × 64 × 3 bytes and keeps 32 numbers. The decoder paints a frame from these alone. What matters
# for driving survives: the road, the car, its direction; fine texture of the grass does not.


# %%
def show(rows, titles, names):
    """Show rows of frames, uint8 (n, 64, 64, 3) each, with a title above each column and a name beside each row."""
    shape = len(rows), len(rows[0])
    _, axes = plt.subplots(*shape, figsize=(1.3 * shape[1], 1.4 * shape[0]), squeeze=False)
    for axis, image in zip(axes.flat, (image for row in rows for image in row), strict=True):
        axis.imshow(image)
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(name, fontsize=9)
    plt.show()


frame = frames[NOW]
z = agent.encode(frame)
show([[frame], [agent.decode(z)]], [f"step {NOW}"], ["frame", "from z"])
plt.figure(figsize=(8, 1.8))
plt.bar(range(32), z)
plt.xlabel("latent")
plt.ylabel("z")
plt.title(f"the 32 numbers that V keeps of step {NOW}")
plt.show()

# %% [markdown]
# ## Latents, moved one at a time
#
# The six latents that vary most along the road, each moved from −3 to 3 while the other 31 stay. Some turn the road,
# some move the car across it. Nobody has told V what a road is: it has only learned to repaint frames.

# %%
latents = np.argsort(agent.encode(frames).std(axis=0))[::-1][:6]
values = np.linspace(-3, 3, 7)
moved = np.tile(z, (len(latents), len(values), 1))
for row, latent in enumerate(latents):
    moved[row, :, latent] = values
images = agent.decode(moved.reshape(-1, 32)).reshape(*moved.shape[:2], 64, 64, 3)
show(images, [f"{value:+.0f}" for value in values], [f"z[{latent}]" for latent in latents])

# %% [markdown]
# ## M: a distribution of the next z
#
# From *z*, the action, whether the last reward was positive, and its memory, M predicts the next *z*: for each latent
# a mixture of five Gaussians. Left: the weights of the five, for each latent. Right: the predicted density of two
# latents, and the value that V then saw in the real next frame.

# %%
from rnn.arch import split_mixture

agent.reset()
for t in range(NOW + 1):
    action = agent.act(frames[t], rewards[t])  # z, h and c are now those of step NOW
x = np.concatenate([agent.z, action, [np.float32(rewards[NOW] > 0)]])
h, c = agent.rnn.step(x[None], agent.h[None], agent.c[None])
log_pi, mu, log_sigma, logit = (part.numpy()[0] for part in split_mixture(agent.rnn.model.get_layer("mixture")(h)))
seen = agent.encode(frames[NOW + 1])

_, (left, *rest) = plt.subplots(1, 3, figsize=(12, 3), width_ratios=(2, 1, 1))
mesh = left.imshow(np.exp(log_pi), aspect="auto", vmin=0, vmax=1, cmap="viridis")
left.set(xlabel="latent", ylabel="Gaussian", title="mixture weights")
plt.colorbar(mesh, ax=left)
for axis, latent in zip(rest, latents, strict=False):
    grid = np.linspace(-4, 4, 400)[:, None]
    scaled = (grid - mu[:, latent]) / np.exp(log_sigma[:, latent])
    density = np.exp(log_pi[:, latent] - log_sigma[:, latent] - scaled**2 / 2) / np.sqrt(2 * np.pi)
    axis.plot(grid, density.sum(axis=1), label="predicted")
    axis.axvline(seen[latent], color="tab:red", label="seen")
    axis.set(xlabel=f"z[{latent}]", title="density of the next z")
    axis.legend(fontsize=8)
plt.show()
print(f"probability of a positive reward: {1 / (1 + np.exp(-logit)):.2f}; the reward was {rewards[NOW + 1]:.2f}")

# %% [markdown]
# ## Dreaming on from a real moment
#
# From step 100 on, M gets no frame any more: each *z* that it samples is its next input. Only the actions are those
# that the agent really took. Above the real road, below the dream, decoded by V. A temperature above 1 makes dreams
# more uncertain.

# %%
steps = range(0, AHEAD + 1, 10)
rows = [frames[NOW:][steps]]
for temperature in (0.5, 1.0, 1.5):
    dream = agent.dream(actions[NOW:], temperature, seed=1, from_now=True)
    rows.append(agent.decode(dream.z[steps]))
show(rows, [f"+{t} steps" for t in steps], ["real", "dream, 0.5", "dream, 1.0", "dream, 1.5"])

# %% [markdown]
# ## A lap, as a video
#
# Left the environment, right the 64 × 64 frame that the agent gets, and V's reconstruction of it. The video shows the
# first six seconds; the score is that of the whole lap.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from IPython.display import Video

from display.overlay import compose
from display.video import open_video

RECORDED = 300  # steps, of 1/50 s
env = agent.make_env("rgb_array")
agent.reset()
frame, _ = env.reset(seed=SEED)
score, reward, done, step = 0.0, 0.0, False, 0
with TemporaryDirectory() as folder:
    with open_video(Path(folder, "lap.mp4")) as record:
        while not done:
            action = agent.act(frame, reward)
            if step < RECORDED:
                record(compose(env.render(), frame, agent.decode(agent.z), action, score, step))
            frame, reward, terminated, truncated, _ = env.step(action)
            score, done, step = score + reward, terminated or truncated, step + 1
    video = Video(Path(folder, "lap.mp4").read_bytes(), embed=True, mimetype="video/mp4", width=800)
print(f"score {score:.1f} in {step} steps")
video

# %% [markdown]
# ## All five stages, tiny
#
# The commands are those of a real training, with sizes that take seconds: six episodes of forty frames, a few
# gradient steps, three generations of four candidates. The result cannot drive. `make demo` trains an agent that can,
# in minutes; `make train` one that completes nearly every lap.

# %%
import subprocess

import config

ROOT = config.PRETRAINED_DIR.parent
STAGES = """
01_generate_data.py car_racing --total_episodes 6 --batch_size 3 --time_steps 40
02_train_vae.py --new_model --epochs 2 --batch_size 20
03_generate_rnn_data.py
04_train_rnn.py --new_model --steps 4 --batch_size 2
05_train_controller.py car_racing -n 2 -t 2 -e 1 --max_length 30 --eval_steps 1 --eval_episode 2 --generations 3
"""
with TemporaryDirectory() as folder:
    for command in STAGES.strip().splitlines():
        script, *arguments = command.split()
        done = subprocess.run([sys.executable, ROOT / script, *arguments], cwd=folder, capture_output=True, text=True)
        print(f"python {command}\n  {(done.stdout or done.stderr).strip().splitlines()[-1]}")
    mine = load_agent(folder)
    print("score of the tiny agent on one track:", mine.score([SEED]).round(1))

# %% [markdown]
# ## Further
#
# * [The library](library.md): dreams, controllers and data of your own.
# * [Reading the paper](reading_the_paper.md) beside the code.
# * [Results](results.md), with ablations and baselines.
