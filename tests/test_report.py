"""Tests of report.py: every figure is there and not blank, and one HTML file holds them all."""

import base64
import html
import json
import platform
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.page import assert_silent_and_offline, needs_chromium
from helpers.scripts import SEARCH, STAGES, run_script, snapshot

from experiments.browser.chromium import Chromium
from experiments.html_report.agent_drive import DrivenEpisode, road_and_dream
from experiments.plots.canvas import BACKGROUND, GAP, THEME, WIDTH, grid, new_figure, svg_markup
from experiments.plots.controller import joined
from experiments.plots.dream import PRIME
from experiments.plots.losses import read_losses
from pipeline.entries import sizes_for
from pipeline.errors import UserError
from pipeline.files import file_hash
from pipeline.sizes import CAR
from rnn.arch import RNN
from simulation.agent import Agent
from simulation.dream import dream_open_loop

BEST = f"car_racing --filename controller/{SEARCH}.best.json"
FIGURES = {
    "data": ("frames.png", "actions.png"),
    "vae": ("vae_losses.png", "reconstructions.png", "latents.png"),
    "rnn": ("rnn_losses.png", "predictions.png"),
    "controller": (
        *("driving.mp4", "scores.png", "learning_curve.png", "weights.png", "beside_paper.png"),
        "scores.json",
    ),
    "dream": ("dream.png", "dream.mp4", "dream_errors.png", "dream_calibration.png"),
}


@pytest.fixture(scope="module")
def report(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder written by `report.py all`, and the printed lines."""
    folder = tmp_path_factory.mktemp("report")
    for part in ("data", "vae", "rnn", "controller", "log"):
        (folder / part).symlink_to(finished / part)
    return folder / "report", run_script(folder, "experiments/report.py", "all --num_episode 1", DISPLAY=None).stdout


def test_every_figure_is_there_and_not_blank(report: tuple[Path, str]) -> None:
    folder, printed = report
    names = {name for names in FIGURES.values() for name in names}
    assert set(snapshot(folder)) == names | {"index.html"}
    for name in (name for name in names if name.endswith(".mp4")):
        assert f"report/{name}" in printed
    for name in (name for name in names if name.endswith(".png")):
        pixels = matplotlib.image.imread(folder / name)[..., :3].reshape(-1, 3)
        assert len(pixels) > 100_000
        assert (pixels != pixels[0]).any(axis=1).mean() > 0.02, name
        assert f"report/{name}" in printed


def test_the_scores_are_those_of_three_agents(report: tuple[Path, str]) -> None:
    folder, printed = report
    scores = json.loads((folder / "scores.json").read_text())["scores"]
    assert scores.keys() == {"trained", "random", "untrained"}
    for name, values in scores.items():
        assert re.search(rf"{name}: +{np.mean(values):.1f} ±", printed)


def test_the_html_report_needs_no_other_file(report: tuple[Path, str]) -> None:
    """Its videos are inside, it names no address, and it forbids the browser to load anything."""
    folder, _ = report
    content = (folder / "index.html").read_text()
    videos = re.findall(r'src="data:video/mp4;base64,([^"]+)"', content)
    assert [base64.b64decode(video) for video in videos] == [
        (folder / name).read_bytes() for name in ("driving.mp4", "dream.mp4")
    ]
    assert len(re.findall(r' src="', content)) == 2
    assert "default-src 'none'" in content
    assert "http:" not in content and "https:" not in content


def test_every_stage_has_its_figures_with_titles_and_what_is_good(report: tuple[Path, str]) -> None:
    """Each in the section of its stage; the agent's video in the card at the top. Ids occur once."""
    content = (report[0] / "index.html").read_text()
    header, *sections = re.split(r'<section id="(\w+)">', content)
    assert header.count("<figure") == 1 and 'id="driving-mp4"' in header
    for name, section in zip(sections[::2], sections[1::2], strict=True):
        figures = re.findall(r'<figure class="card" id="([\w-]+)"><h3>[^<]+</h3>(.*?)</figure>', section, re.DOTALL)
        media = {figure.replace(".", "-") for figure in FIGURES[name]} - {"driving-mp4", "scores-json"}
        assert dict(figures).keys() == media
        for text in dict(figures).values():
            assert re.search(r'<figcaption><p>[^<]+\.</p><p class="good">[^<]+\.</p></figcaption>', text)
            assert ("<svg" in text) != ("<video" in text)
    ids = re.findall(r'\bid="([^"]+)"', re.sub(r"<defs>.*?</defs>", "", content, flags=re.DOTALL))
    assert len(ids) == len(set(ids))


def test_the_card_at_the_top_says_what_the_agent_is(report: tuple[Path, str]) -> None:
    folder, _ = report
    scores = json.loads((folder / "scores.json").read_text())["scores"]["trained"]
    card = (folder / "index.html").read_text().partition("<nav")[0]
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", card[card.index("<header") :])).split())
    assert f"{np.mean(scores):.1f} ± {np.std(scores):.1f}" in text
    assert f"min {min(scores):.1f}, over 1 unseen tracks" in text
    assert "environment car_racing (custom_envs:WorldModels/CarRacing-v0), at most 1,000 steps" in text
    assert "seeds 01: 0; 02 V: 0; 04 M: 0; 05 C: 111; unseen tracks 0" in text
    assert "6 episodes, 240 frames; 02 V: 20 gradient steps; 04 M: 4 gradient steps; 05 C: 3 generations" in text
    assert f"Python {platform.python_version()}, tensorflow {version('tensorflow')}" in text


def test_the_commands_of_the_report_find_all_made(report: tuple[Path, str], copy_of: Callable[..., Path]) -> None:
    """They have the settings of the runs: no stage refuses to resume, and none has work left."""
    folder = copy_of("data", "vae", "rnn", "controller", "log")
    before = snapshot(folder)
    lines = re.findall(r"<code>(.*?)</code>", (report[0] / "index.html").read_text())
    commands = [html.unescape(re.sub(r"<[^>]+>", "", line)).split() for line in lines]
    assert [words[1] for words in commands][:5] == list(STAGES)
    for _, script, *arguments in commands[:5]:
        run_script(folder, script, *arguments)
    assert snapshot(folder) == before
    assert commands[5][1:] == f"model.py {BEST} --seed 0 --final_mode --num_episode 1".split()
    run_script(folder, "model.py", *commands[5][2:])


def test_figures_that_cannot_be_drawn_are_left_out_and_said(copy_of: Callable[..., Path]) -> None:
    """Of two-step episodes there is no prediction and no dream; without scores and the VAE's log, no such figure."""
    folder = copy_of("vae", "rnn", "controller", "log")
    (folder / "vae" / "log.csv").unlink()
    run_script(folder, "01_generate_data.py", "car_racing --total_episodes 4 --batch_size 2 --time_steps 2")
    run_script(folder, "03_generate_rnn_data.py")
    printed = run_script(folder, "experiments/report.py", "all --draw_only").stdout
    content = (folder / "report" / "index.html").read_text()
    reasons = {
        "vae_losses.png": "vae/log.csv is not there",
        "predictions.png": "has fewer than three steps",
        "driving.mp4": "report/scores.json is not there: leave out --draw_only",
        "scores.png": "report/scores.json is not there: leave out --draw_only",
        "dream": "no episode of at least four steps",
    }
    for name, reason in reasons.items():
        assert re.search(rf"left out: {re.escape(name)}: .*{re.escape(reason)}", printed), name
    left_out = re.findall(r'<div class="card left-out"(?: id="([\w-]+)")?>.*?<p>Left out: ', content)
    assert left_out == ["vae_losses-png", "predictions-png", "driving-mp4", "scores-png", ""]
    drawn = [name for names in FIGURES.values() for name in names if name.endswith(".png") and name not in reasons]
    shown = {name.replace(".", "-") for name in drawn if not name.startswith("dream")}
    assert set(re.findall(r'<figure class="card" id="([\w-]+)"', content)) == shown
    assert "not scored" in content


def test_the_controller_is_drawn_without_driving(report: tuple[Path, str], tmp_path: Path) -> None:
    """From the scores and the video of the last time, unless these are of another controller."""
    folder = tmp_path / "copy"
    shutil.copytree(report[0].parent, folder, symlinks=True)
    kept = [folder / "report" / name for name in ("scores.json", "driving.mp4")]
    before = [path.read_bytes() for path in kept]
    (folder / "report" / "scores.png").unlink()
    printed = run_script(folder, "experiments/report.py", "controller --draw_only").stdout
    assert printed.splitlines() == [f"report/{name}" for name in FIGURES["controller"] if name != "scores.json"]
    assert [path.read_bytes() for path in kept] == before
    assert (folder / "report" / "scores.png").exists()
    kept[1].write_bytes(before[1][:1000])
    printed = run_script(folder, "experiments/report.py", "controller --draw_only").stdout
    assert "left out: driving.mp4: report/driving.mp4 cannot be read as a video" in printed
    kept[0].write_text(kept[0].read_text().replace('"sha256": "', '"sha256": "0'))
    printed = run_script(folder, "experiments/report.py", "controller --draw_only").stdout
    assert f"left out: scores.png: report/scores.json is not of controller/{SEARCH}.best.json" in printed


@pytest.mark.parametrize("content", ["", "step,loss\n", "step,loss\n1,x\n", "step\n1\n", "step,loss\n1\n"])
def test_a_log_that_is_no_log_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(UserError, match=r"log\.csv"):
        read_losses(tmp_path / "log.csv", ("step", "loss"))
    (tmp_path / "log.csv").write_text("step,loss\n1,0.5\n")
    assert read_losses(tmp_path / "log.csv", ("step", "loss")) == [{"step": 1, "loss": 0.5}]


def test_markup_of_a_figure_has_no_address_and_the_colors_of_the_page() -> None:
    figure, axes = new_figure(WIDTH, 3)
    axes.plot([1, 2], label="a < b")
    axes.legend()
    svg = svg_markup(figure, "a")
    assert svg.startswith('<svg viewBox="0 0 288 216">') and "http" not in svg
    assert "var(--ink)" in svg and "var(--blue)" in svg
    assert not re.search("|".join(THEME.values()), svg)
    assert ">a &lt; b</text>" in svg
    assert svg_markup(figure, "a") == svg != svg_markup(figure, "b")


def test_a_stage_is_reported_without_the_later_ones(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("data", "vae/weights.h5", "vae/log.csv")
    for what in ("data", "vae"):
        run_script(folder, "experiments/report.py", what)
    assert set(snapshot(folder / "report")) == {*FIGURES["data"], *FIGURES["vae"]}
    done = run_script(folder, "experiments/report.py", "rnn", ok=False)
    assert done.returncode == 2
    assert "rnn/weights.h5 is not there" in done.stderr


def test_the_curve_of_a_search_includes_the_search_that_it_started_from(copy_of: Callable[..., Path]) -> None:
    """Without the earlier search there is no figure beside the paper's, which started from scratch."""
    folder = copy_of("vae", "rnn", "controller", "log")
    settings, earlier = folder / "log" / f"{SEARCH}.json", Path("controller") / f"{SEARCH}.es.npz"
    controller = "controller --num_episode 1"
    done = run_script(folder, "experiments/report.py", f"{controller} --init_opt {earlier}", ok=False)
    assert done.returncode == 2
    assert f"{earlier} is not the search that {SEARCH} started from" in done.stderr
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"init_opt": file_hash(folder / earlier)}))
    run_script(folder, "experiments/report.py", controller)
    assert set(snapshot(folder / "report")) == {*FIGURES["controller"]} - {"beside_paper.png"}
    run_script(folder, "experiments/report.py", f"{controller} --init_opt {earlier}")
    assert set(snapshot(folder / "report")) == {*FIGURES["controller"]}


def test_generations_and_seconds_of_joined_searches_accumulate() -> None:
    rows = [{"generation": n, "seconds": 10.0 * n, "mean": float(n), "episodes": 8.0} for n in (1, 2, 3)]
    joint = joined([rows, [{"generation": 2, "mean": 5.0}]], [rows[:1], [{"generation": 1, "mean": 7.0}]])
    assert joint[0] == [*rows, {"generation": 4, "seconds": 40.0, "mean": 1.0, "episodes": 8.0}]
    assert joint[1] == [{"generation": 2, "mean": 5.0}, {"generation": 4, "mean": 7.0}]


def test_one_of_several_searches_must_be_named(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("controller")
    best = folder / "controller" / f"{SEARCH}.best.json"
    best.with_name("car_racing.cma.9.4.best.json").write_bytes(best.read_bytes())
    best.with_name("car_racing.cma.9.4.dream_best.json").write_bytes(best.read_bytes())
    best.with_name("dot.cma.9.4.best.json").write_bytes(best.read_bytes())
    done = run_script(folder, "experiments/report.py", "controller", ok=False)
    assert done.returncode == 2
    assert f"controller/{SEARCH}.best.json, controller/car_racing.cma.9.4.best.json\n" in done.stderr


def test_a_grid_is_its_images_with_gaps() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    image = grid(images)
    assert image.shape == (2 * (4 + GAP), 3 * (5 + GAP), 3)
    for row in range(2):
        for column in range(3):
            top, left = row * (4 + GAP), column * (5 + GAP)
            np.testing.assert_array_equal(image[top : top + 4, left : left + 5], images[row, column])
    assert (image[4:6] == BACKGROUND).all() and (image[:, 5:7] == BACKGROUND).all()


@pytest.mark.usefixtures("one_thread")
def test_a_dream_continues_the_real_steps() -> None:
    """It depends on every conditioning step and on every later action, and on no later z or reward."""
    rnn, rng = RNN(), np.random.default_rng(0)
    series = rng.normal(size=(2, 9, CAR.z + CAR.actions + 1)).astype(np.float32)
    z, positive = dream_open_loop(rnn, series, prime=4, dreams=3)
    assert z.shape == (2, 3, 5, CAR.z) and positive.shape == (2, 3, 5)
    assert set(np.unique(positive)) <= {0, 1}
    assert (z[:, 0] != z[:, 1]).any(), "each dream has noise of its own"
    np.testing.assert_array_equal(dream_open_loop(rnn, series, prime=4, dreams=3)[0], z)

    def changed(step: int, column: slice | int) -> np.ndarray:
        """The dreamt steps at which the dreams of the first episode differ after this change of its series."""
        other = series.copy()
        other[0, step, column] += 1
        again, _ = dream_open_loop(rnn, other, prime=4, dreams=3)
        np.testing.assert_array_equal(again[1], z[1])
        return np.flatnonzero((again[0] != z[0]).any(axis=(0, 2)))

    action, reward = slice(CAR.z, -1), -1
    for step in range(4):  # the last conditioning step's z too
        assert changed(step, slice(CAR.z))[0] == 0
    assert changed(3, action)[0] == 0
    assert changed(5, action)[0] == 2
    assert changed(8, action).size == 0  # the dream ends before its effect
    assert changed(4, slice(CAR.z)).size == changed(4, reward).size == 0


@pytest.mark.usefixtures("one_thread")
def test_the_road_beside_a_dream_ends_with_the_dream() -> None:
    """M, made sure that every step is the last, ends this one at once."""
    sizes = sizes_for("snake", 4)
    agent = Agent.on_one_thread(sizes=sizes)
    kernel, bias = agent.rnn.model.get_layer("mixture").get_weights()
    bias[-1] = 100
    agent.rnn.model.get_layer("mixture").set_weights([kernel, bias])
    steps = PRIME + 5
    frames, series = np.zeros((steps, 64, 64, 3), np.uint8), np.zeros((steps, sizes.inputs), np.float32)
    episode = DrivenEpisode(frames, series, np.zeros((steps, 2, sizes.h), np.float32))
    images = road_and_dream(agent, np.zeros(4 * (sizes.z + sizes.h + 1)), episode, "snake")
    assert {name: len(frames) for name, frames in images.items()} == {"game": 1, "dream": 1}


# What a browser finds. Sizes are those on the display, in pixels.
LOADED = "[...document.querySelectorAll('video')].every(video => video.readyState > 0)"
PROBE = """(() => {
  const texts = [...document.querySelectorAll("figure svg text")].map(text => {
    const { a, b } = text.getScreenCTM();
    return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
  });
  const words = [...document.querySelectorAll("main :is(p, dd, dt, td, th, code, a)")];
  const sizes = words.map(word => parseFloat(getComputedStyle(word).fontSize));
  const figures = [...document.querySelectorAll("figure svg")].filter(figure => figure.clientWidth > 300);
  const outside = performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:"));
  const light = color => color.match(/\\d+/g).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
  const contrast = element => {
    const [ink, paper] = [element, document.querySelector(".card")].map(getComputedStyle);
    const [low, high] = [light(ink.color), light(paper.backgroundColor)].sort((x, y) => x - y);
    return high / low;
  };
  const button = document.querySelector(".enlarge"), dialog = document.querySelector("dialog");
  button.click();
  const enlarged = dialog.open && dialog.querySelector("svg").clientWidth > Math.max(600, button.clientWidth);
  dialog.querySelector("svg").dispatchEvent(new Event("click", { bubbles: true }));
  return {
    width: innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    figures: figures.length,
    fits: document.documentElement.scrollWidth <= innerWidth,
    smallest: Math.floor(Math.min(...texts, ...sizes)),
    contrast: Math.min(...words.map(contrast)),
    outside: outside.length, enlarged, closed: !dialog.open,
  };
})()"""


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_html_report_in_a_browser(report: tuple[Path, str], width: int, dark: bool) -> None:
    """At the width of a phone and of a desktop all figures can be read and enlarged, and nothing else is loaded."""
    with Chromium(width, 900, {"prefers-color-scheme": "dark" if dark else "light"}) as browser:
        browser.open(report[0] / "index.html")
        browser.wait_for(LOADED)
        found = browser.evaluate(PROBE)
        assert_silent_and_offline(browser)
    assert found.pop("smallest") >= 11
    assert found.pop("contrast") >= 4.5
    images = sum(name.endswith(".png") for names in FIGURES.values() for name in names)
    expected = {"width": width, "dark": dark, "figures": images, "fits": True, "outside": 0}
    assert found == expected | {"enlarged": True, "closed": True}
