"""Tests of report.py: every figure is there and not blank, and one HTML file holds them all."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.scripts import LIMIT, SEARCH, run_script, snapshot

import config
from experiments.plots.canvas import BACKGROUND, GAP, grid
from experiments.plots.controller import joined
from pipeline.files import file_hash
from rnn.arch import RNN
from simulation.dream import dream_open_loop

FIGURES = {
    "data": ("frames.png", "actions.png"),
    "vae": ("reconstructions.png", "latents.png"),
    "rnn": ("predictions.png",),
    "controller": ("learning_curve.png", "weights.png", "beside_paper.png", "scores.json"),
    "dream": ("dream.png", "dream.mp4", "dream_errors.png"),
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
    folder, _ = report
    content = (folder / "index.html").read_text()
    sources = re.findall(r'src="([^"]+)"', content)
    assert len(sources) == 11
    for source, name in zip(sources, re.findall(r"<figure><(img|video)", content), strict=True):
        kind, encoded = source.removeprefix("data:").split(";base64,")
        assert kind == {"img": "image/png", "video": "video/mp4"}[name]
        assert any(base64.b64decode(encoded) == path.read_bytes() for path in folder.iterdir())
    assert "http" not in re.sub(r'src="[^"]+"', "", content)


def test_a_stage_is_reported_without_the_later_ones(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("data", "vae/weights.h5")
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
    series = rng.normal(size=(2, 9, config.Z_DIM + config.ACTION_DIM + 1)).astype(np.float32)
    z, positive = dream_open_loop(rnn, series, prime=4, dreams=3)
    assert z.shape == (2, 3, 5, config.Z_DIM) and positive.shape == (2, 3, 5)
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

    action, reward = slice(config.Z_DIM, -1), -1
    for step in range(4):  # the last conditioning step's z too
        assert changed(step, slice(config.Z_DIM))[0] == 0
    assert changed(3, action)[0] == 0
    assert changed(5, action)[0] == 2
    assert changed(8, action).size == 0  # the dream ends before its effect
    assert changed(4, slice(config.Z_DIM)).size == changed(4, reward).size == 0


PROBE = """<script>addEventListener("load", () => {
  const images = [...document.images].filter(image => image.naturalWidth > 100 && image.clientWidth > 300).length;
  const video = document.querySelector("video").readyState > 0;
  const fits = document.documentElement.scrollWidth <= innerWidth;
  document.title = `images ${images}, video ${video}, fits ${fits}`;
});</script>"""


@pytest.mark.parametrize("width", [390, 1400])
def test_the_html_report_in_a_browser(report: tuple[Path, str], width: int, tmp_path: Path) -> None:
    """At the width of a phone and of a desktop every image loads, nothing overflows, and the console stays silent."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed: apt install chromium")
    path = tmp_path / "report.html"
    path.write_text((report[0] / "index.html").read_text() + PROBE)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'} --hide-scrollbars"
    flags += f" --enable-logging=stderr --window-size={width},900 --timeout=20000 --dump-dom {path.as_uri()}"
    done = subprocess.run(
        [browser, *flags.split()],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert "CONSOLE" not in done.stderr
    assert "<title>images 10, video true, fits true</title>" in done.stdout, done.stderr
