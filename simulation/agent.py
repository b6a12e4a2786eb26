"""The agent in memory: V and M from the weights of stages 02 and 04, C from a controller file of stage 05."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

import config
from controller import files as controller_files
from controller.files import env_of
from pipeline.entries import check_env
from pipeline.errors import UserError
from pipeline.sizes import CAR, Sizes
from pipeline.weights import sizes_of, trained_in


class Networks(NamedTuple):
    """V and M as arrays: the latent dimensions of V, the sizes of M, and the weights of both, float32."""

    z_dim: int
    sizes: Sizes
    vae: list[np.ndarray]
    rnn: list[np.ndarray]


class Agent:
    """V and M, shared by all controllers that are evaluated. Scripts make one by `on_one_thread`.

    Attributes:
        vae, rnn: the networks (vae.arch.VAE, rnn.arch.RNN).
        sizes: those of the networks.
        hashes: {"vae": ..., "rnn": ...} of the loaded weights.
        made_for: a file, and the environments that it was made for: M or, where it is loaded, the controller. None: not
            stated, in a file of an earlier version, or not loaded.

    Args:
        sample_z: encode a frame to a z drawn from N(mu, sigma²) instead of its mean mu (deviation 9).
        previous_action: condition M on the previous action instead of the current one, as the tutorial does
            (deviation 8).
    """

    def __init__(self, sample_z: bool = False, previous_action: bool = False, sizes: Sizes = CAR) -> None:
        self.sample_z, self.previous_action = sample_z, previous_action
        self.made_for: tuple[Path, Sequence[str] | None] = (Path(), None)
        self._build(sizes.z, sizes)

    @classmethod
    def on_one_thread(cls, sample_z: bool = False, previous_action: bool = False, sizes: Sizes = CAR) -> Self:
        """An agent of a script, a rank or a worker, with TensorFlow on one CPU thread and off every GPU.

        Worker processes use all cores, and results do not depend on the core count. RuntimeError where TensorFlow has
        run on more threads before.
        """
        from pipeline.networks import use_one_cpu_thread

        use_one_cpu_thread()
        return cls(sample_z, previous_action, sizes)

    def _build(self, z_dim: int, sizes: Sizes) -> None:
        """Make V and M with random weights."""
        from rnn.arch import RNN  # TensorFlow takes seconds to import: --help must not wait
        from vae.arch import VAE

        self.sizes, self.vae, self.rnn = sizes, VAE(z_dim), RNN(sizes)

    def load(self, folder: Path = Path()) -> dict[str, str]:
        """Load the weights of stages 02 and 04 from below a folder, of the sizes that their metadata state.

        Returns: their hashes, {"vae": ..., "rnn": ...}.

        Raises:
            UserError: a file is missing or damaged, or M was trained on another V.
        """
        vae_path, rnn_path = folder / config.VAE_DIR / "weights.h5", folder / config.RNN_DIR / "weights.h5"
        z_dim, sizes = sizes_of(vae_path).z, sizes_of(rnn_path)
        if (z_dim, sizes) != (self.vae.z_dim, self.sizes):
            self._build(z_dim, sizes)
        vae = self.vae.load(vae_path)
        self.hashes = {"vae": vae, "rnn": self.rnn.load(rnn_path, vae)}
        self.made_for = (rnn_path, trained_in(rnn_path))
        return self.hashes

    @property
    def networks(self) -> Networks:
        """V and M, to be assigned to the `networks` of an agent in another process."""
        return Networks(self.vae.z_dim, self.sizes, self.vae.full_model.get_weights(), self.rnn.model.get_weights())

    @networks.setter
    def networks(self, given: Networks) -> None:
        if (given.z_dim, given.sizes) != (self.vae.z_dim, self.sizes):
            self._build(given.z_dim, given.sizes)
        self.vae.full_model.set_weights(given.vae)
        self.rnn.model.set_weights(given.rnn)

    def load_for(self, filename: Path, metadata: dict[str, Any], folder: Path) -> None:
        """Load a folder's V and M for a controller file; UserError if its metadata names others."""
        for name, digest in self.load(folder).items():
            if metadata.get(name, digest) != digest:
                found = f"{filename} was trained with {name} {metadata[name]}, {folder / name}/weights.h5 is {digest}"
                raise UserError(f"{found}: restore those weights, or train a controller for these")
        env_name = env_of(filename, metadata)
        if env_name:
            self.made_for = (filename, (env_name,))

    def check_env(self, name: str) -> None:
        """Check that the agent was made for an environment, or for a variant of it; UserError if not."""
        path, environments = self.made_for
        check_env(str(path), environments, name, "give that name")


def folder_of(filename: Path | None) -> Path:
    """The folder of a controller's V and M: the parent of its controller/ folder, else the working directory."""
    if filename and filename.absolute().parent.name == str(config.CONTROLLER_DIR):
        folder = filename.parent.parent if filename.parent.name else Path("..")  # started in controller/ itself
        if (folder / config.VAE_DIR / "weights.h5").exists():
            return folder
    return Path()


def has_trained_agent(folder: Path = Path()) -> bool:
    """Whether a folder holds weights of stages 02 or 04, or controllers of stage 05."""
    weights = [folder / name / "weights.h5" for name in (config.VAE_DIR, config.RNN_DIR)]
    return any(path.exists() for path in (*weights, *(folder / config.CONTROLLER_DIR).glob("*.json")))


def default_folder() -> Path:
    """The working directory or, where it holds no trained agent, the folder of the pretrained one, which it prints."""
    if has_trained_agent():
        return Path()
    print(f"no trained agent in this folder: using {config.PRETRAINED_DIR}")
    return config.PRETRAINED_DIR


def load_networks(folder: Path) -> Agent:
    """The V and M of a folder, for a script: see Agent.on_one_thread. UserError if they are missing or damaged."""
    agent = Agent.on_one_thread()
    agent.load(folder)
    return agent


def load_agent_and_weights(filename: Path | str, layout: str | None = None) -> tuple[Agent, np.ndarray]:
    """Load a controller file and the V and M that it was trained with, for a script: see Agent.on_one_thread.

    Args:
        filename: a .json of stage 05.
        layout: order of the weights in the file, a key of controller.files.LAYOUTS; None: the one the file records.

    Returns: the agent, and the controller's weights, float64 (867,).

    Raises:
        UserError: a file is missing or damaged, or the controller was trained with another V or M.
    """
    filename = Path(filename)
    weights, _, metadata = controller_files.load(filename, layout)
    agent = Agent.on_one_thread(metadata.get("sample_z", 0), metadata.get("previous_action", 0))
    agent.load_for(filename, metadata, folder_of(filename))
    return agent, weights
