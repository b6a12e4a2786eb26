"""Tests of the viewer: the displayed pixels, read back from a virtual display; keys; errors without a display."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Xvfb maps its screen to a file: an XWD header, which holds its own length and that of a color table, then B, G, R, 0.
LOOK = """
import sys, time, numpy as np, pyglet
from display.viewer import Viewer

def screen(width, height):
    file = np.fromfile(sys.argv[1], np.uint8)
    header = file[:100].view(">u4")
    pixels = file[header[0] + 12 * header[19]:].reshape(900, 1400, 4)
    x, y = window.get_location()
    return pixels[y:y + height, x:x + width, 2::-1]

def appears(image):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if (screen(120, 80) == image.repeat(10, axis=0).repeat(10, axis=1)).all():
            return True
        time.sleep(0.01)

viewer = Viewer("test", 120, 80)
window, = pyglet.app.windows
for seed in range(3):
    small = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    viewer.show(small)
    assert appears(small)
viewer.show(small[:, ::-1])
assert appears(small[:, ::-1])
"""

KEYS = """
def send(event, *arguments):
    window.dispatch_event(event, *arguments)
    viewer.show(small)  # reads the keys

key = pyglet.window.key
assert viewer.keys == set() and not viewer.closed
for symbol in (key.LEFT, key.UP, key.A):
    send("on_key_press", symbol, 0)
assert viewer.keys == {"left", "up"}, viewer.keys
send("on_key_release", key.UP, 0)
assert viewer.keys == {"left"} and not viewer.closed
send("on_key_press", key.EQUAL, key.MOD_SHIFT)
assert viewer.keys == {"left", "plus"}
send("on_key_press", key.SPACE, 0)
assert viewer.keys == {"left", "plus", "enter"}
"""

ENDS = {
    "escape": 'send("on_key_press", key.ESCAPE, 0); assert "escape" in viewer.keys',
    "the window's close button": 'send("on_close")',
}

AFTERWARDS = """
assert viewer.closed
viewer.show(small)
assert viewer.closed
print("done")
"""


def run(program: str, *launcher: str, arguments: tuple = (), **environ: str) -> subprocess.CompletedProcess:
    """Run a program in a process of its own, without a display unless the launcher provides one."""
    environ = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")} | environ
    command = [*launcher, sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180)


def run_on_display(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a program on a virtual display of 1400 x 900 whose pixels are in the file that sys.argv[1] names."""
    if not shutil.which("xvfb-run"):
        pytest.skip("xvfb-run is not installed: apt install xvfb xauth libgl1-mesa-dri")
    # -noreset: else the server resets when its last client disconnects, and refuses connections meanwhile; xdotool
    # connects and disconnects while it waits for a window.
    display = ("xvfb-run", "-a", "-s", f"-screen 0 1400x900x24 -noreset -fbdir {folder}")
    return run(program, *display, arguments=(folder / "Xvfb_screen0", *arguments))


@pytest.mark.parametrize("end", ENDS)
def test_displays_images_and_reads_keys_until_closed(end: str, tmp_path: Path) -> None:
    done = run_on_display("\n".join((LOOK, KEYS, ENDS[end], AFTERWARDS)), tmp_path)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize("wrong", ["small / 255", "small[0]", "small[..., :1]"])
def test_array_that_is_not_an_image_is_refused(wrong: str, tmp_path: Path) -> None:
    done = run_on_display(f"{LOOK}\nviewer.show({wrong})", tmp_path)
    assert "ValueError: an image is uint8 (rows, columns, 3), not" in done.stderr


@pytest.mark.parametrize("display", [None, ":98765"])
def test_error_without_a_display_names_the_remedy(display: str | None) -> None:
    program = """
from display.viewer import NoDisplay, Viewer
try:
    Viewer("test", 120, 80)
except NoDisplay as error:
    print(error)
"""
    done = run(program, **({"DISPLAY": display} if display else {}))
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert "no window can be opened" in done.stdout


def test_import_does_not_load_pyglet() -> None:
    done = run("import sys, display.viewer; print('pyglet' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
