"""Tests of the model card of the pretrained agent, and of the folder for the Hugging Face Hub."""

import json
import re
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import yaml
from helpers.scripts import ROOT, run_script, snapshot

import config
from pipeline.sizes import CAR
from simulation.trained_agent import load_agent

CARD = config.PRETRAINED_DIR / "README.md"


def front_matter(text: str) -> dict:
    """The YAML between the first two lines of three dashes."""
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_card_has_the_measured_score_and_its_sections() -> None:
    text, measured = CARD.read_text(), json.loads((ROOT / "docs/results/pretrained.json").read_text())
    matter = front_matter(text)
    assert matter["license"] == "mit" and matter["pipeline_tag"] == "reinforcement-learning"
    [model] = matter["model-index"]
    [result] = model["results"]
    assert result["dataset"]["type"] == "CarRacing-v0"
    assert f"{measured['tracks']} unseen tracks, seed {measured['tracks_seed']}" in result["dataset"]["name"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["mean_reward"] == f"{measured['mean']:.1f} +/- {measured['std']:.1f}"
    assert values["min_reward"] == pytest.approx(measured["min"], abs=0.05)
    row = f"| **{measured['mean']:.1f} ± {measured['std']:.1f}** | {measured['min']:.1f} | 100, seed 0 |"
    assert row in text
    for section in ("Score", "Intended use, and limits", "How it was made", "Files"):
        assert f"\n## {section}\n" in text
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (CARD.parent / target).exists(), target


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    run_script(folder, "experiments/hub.py", "agent --max_length 20")
    return folder / "agent"


def test_the_folder_has_weights_config_card_and_video(hub: Path) -> None:
    shipped, written = snapshot(config.PRETRAINED_DIR), snapshot(hub)
    shipped = {name: content for name, content in shipped.items() if not name.startswith("doom/")}  # another agent
    assert written.keys() - shipped.keys() == {"config.json", "replay.mp4"}
    assert {name for name in shipped if written.get(name) != shipped[name]} == {"README.md"}
    assert imageio_ffmpeg.count_frames_and_secs(str(hub / "replay.mp4"))[0] == 21
    text = (hub / "README.md").read_text()
    assert front_matter(text) == front_matter(CARD.read_text())
    assert "](https://arxiv.org" in text and not re.search(r"\]\((?!https://)", text)


def test_the_copy_is_the_agent_that_config_json_describes(hub: Path, one_thread: None) -> None:
    described, agent, shipped = json.loads((hub / "config.json").read_text()), load_agent(hub), load_agent()
    assert described["weights_sha256"] == agent.hashes == shipped.hashes
    assert tuple(described["frame_shape"]) == config.FRAME_SHAPE and described["z_dim"] == CAR.z
    assert (hub / described["controller"]).exists()
    frame, _ = agent.make_env().reset(seed=7)
    np.testing.assert_array_equal(agent.act(frame), shipped.act(frame))


def test_a_folder_that_is_not_empty_is_refused(hub: Path) -> None:
    before = snapshot(hub)
    done = run_script(hub.parent, "experiments/hub.py", "agent", ok=False)
    assert done.returncode == 2 and "agent/ is not empty: name a new folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert snapshot(hub) == before
