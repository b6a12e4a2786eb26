"""The viewer window: what it shows, read back from a virtual screen; what it says where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Xvfb keeps the screen in a file: an XWD header, which says its own length and that of a colour table, then B, G, R, 0.
LOOK = """
import sys, time, numpy as np, pyglet
from display.viewer import Viewer

def screen(width, height):
    file = np.fromfile(sys.argv[1], np.uint8)
    header = file[:100].view(">u4")
    pixels = file[header[0] + 12 * header[19]:].reshape(900, 1400, 4)
    x, y = window.get_location()
    return pixels[y:y + height, x:x + width, 2::-1]

def appears(picture):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if (screen(120, 80) == picture.repeat(10, axis=0).repeat(10, axis=1)).all():
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
def person(event, *arguments):
    window.dispatch_event(event, *arguments)
    viewer.show(small)  # where the viewer takes notice

key = pyglet.window.key
assert viewer.keys == set() and not viewer.closed
for symbol in (key.LEFT, key.UP, key.A):
    person("on_key_press", symbol, 0)
assert viewer.keys == {"left", "up"}, viewer.keys
person("on_key_release", key.UP, 0)
assert viewer.keys == {"left"} and not viewer.closed
person("on_key_press", key.EQUAL, key.MOD_SHIFT)
assert viewer.keys == {"left", "plus"}
"""

ENDS = {
    "escape": 'person("on_key_press", key.ESCAPE, 0); assert "escape" in viewer.keys',
    "the window's own button": 'person("on_close")',
    "close": "viewer.close()",
}

AFTERWARDS = """
assert viewer.closed
viewer.show(small)
viewer.close()
viewer.close()
assert viewer.closed and not list(pyglet.app.windows)
print("done")
"""


def run(program: str, *launcher: str, arguments: tuple = (), **environ: str) -> subprocess.CompletedProcess:
    """Runs a program in a process of its own, without a display unless the launcher brings one."""
    environ = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")} | environ
    command = [*launcher, sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180)


def run_on_screen(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a program on a virtual screen of 1400 x 900 whose pixels are in the file that sys.argv[1] names."""
    if not shutil.which("xvfb-run"):
        pytest.skip("xvfb-run is not installed: apt install xvfb xauth libgl1-mesa-dri")
    # -noreset: a server whose last client leaves starts anew and turns away who comes meanwhile, and xdotool comes and
    # goes while it looks for a window.
    screen = ("xvfb-run", "-a", "-s", f"-screen 0 1400x900x24 -noreset -fbdir {folder}")
    return run(program, *screen, arguments=(folder / "Xvfb_screen0", *arguments))


@pytest.mark.parametrize("end", ENDS)
def test_shows_pictures_and_keys_until_it_is_closed(end: str, tmp_path: Path) -> None:
    done = run_on_screen("\n".join((LOOK, KEYS, ENDS[end], AFTERWARDS)), tmp_path)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize("wrong", ["small / 255", "small[0]", "small[..., :1]"])
def test_refuses_what_is_not_a_picture(wrong: str, tmp_path: Path) -> None:
    done = run_on_screen(f"{LOOK}\nviewer.show({wrong})", tmp_path)
    assert "ValueError: a picture is uint8 (rows, columns, 3), not" in done.stderr


@pytest.mark.parametrize("display", [None, ":98765"])
def test_without_a_display_it_says_what_to_do(display: str | None) -> None:
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
    assert "no window can be opened" in done.stdout and "xvfb-run" in done.stdout


def test_importing_it_opens_nothing() -> None:
    done = run("import sys, display.viewer; print('pyglet' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
