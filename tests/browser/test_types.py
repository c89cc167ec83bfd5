"""The JavaScript is checked by TypeScript, as strictly as it can: its types stand in comments."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.support.needs import lacking
from tests.support.processes.servers import ROOT

TYPESCRIPT = "typescript@7.0.2"
STATIC = ROOT / "server" / "static"
STRICTLY = {
    "strict": True, "noEmit": True, "allowJs": True, "checkJs": True, "skipLibCheck": True, "types": [],
    "noUncheckedIndexedAccess": True, "noImplicitOverride": True, "noUnusedLocals": True, "noUnusedParameters": True,
    "target": "es2023", "module": "esnext", "moduleResolution": "bundler", "lib": ["es2023", "dom", "dom.iterable"],
}  # fmt: skip


def complaints(folder: Path, *files: Path) -> str:
    """What TypeScript says of the files."""
    if shutil.which("npx") is None:
        lacking("Node is not installed")
    config = folder / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": STRICTLY, "files": [str(file) for file in files]}))
    command = ["npx", "--yes", "--package", TYPESCRIPT, "tsc", "--project", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    return done.stdout + done.stderr


def test_every_script_has_sound_types(tmp_path: Path) -> None:
    scripts = [*STATIC.glob("element/*.js"), *STATIC.glob("page/*.js"), *STATIC.glob("element/*.d.ts")]
    assert len(scripts) > 15
    assert complaints(tmp_path, *scripts) == ""


def test_unsound_types_are_found(tmp_path: Path) -> None:
    broken = tmp_path / "broken.js"
    broken.write_text("// @ts-check\n/** @param {number} x */\nexport const f = (x) => x.length;\n")
    assert "does not exist on type" in complaints(tmp_path, broken)
