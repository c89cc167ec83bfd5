"""A version as C: the array is the file, the program compiles without a warning and reads what its library answers."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from server.models.card import read_card
from server.models.litert import predictor
from tests.support.models.nets import digits, folder
from tests.support.needs import lacking
from training.commands import main
from training.litert.c_source import array

# The few functions of the library that the program calls; what a net would answer is given to it in a file.
HEADER = """
#include <stddef.h>
typedef struct TfLiteModel TfLiteModel; typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter; typedef struct TfLiteTensor TfLiteTensor;
typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
TfLiteModel *TfLiteModelCreate(const void *, size_t); void TfLiteModelDelete(TfLiteModel *);
TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *);
TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
void TfLiteInterpreterDelete(TfLiteInterpreter *);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter *);
TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *, int);
const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *, int);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *, const void *, size_t);
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor *, void *, size_t);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter *);
"""
LIBRARY = """
#include <stdio.h>
#include <string.h>
#include "tensorflow/lite/c/c_api.h"
static char some[1];
static void keep(const char *name, const void *bytes, size_t size) {
  FILE *file = fopen(name, "wb"); fwrite(bytes, 1, size, file); fclose(file);
}
TfLiteModel *TfLiteModelCreate(const void *model, size_t size) {
  keep("model", model, size); return (TfLiteModel *)some;
}
void TfLiteModelDelete(TfLiteModel *model) { (void)model; }
TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void) { return (TfLiteInterpreterOptions *)some; }
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *options) { (void)options; }
TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *model, const TfLiteInterpreterOptions *options) {
  return model && options ? (TfLiteInterpreter *)some : NULL;
}
void TfLiteInterpreterDelete(TfLiteInterpreter *interpreter) { (void)interpreter; }
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter *one) { return one ? kTfLiteOk : kTfLiteError; }
TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *one, int place) {
  return one && place == 0 ? (TfLiteTensor *)some : NULL;
}
const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *one, int place) {
  char text[8]; snprintf(text, sizeof text, "%d", place); keep("place", text, strlen(text));
  return one ? (const TfLiteTensor *)some : NULL;
}
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *tensor, const void *pixels, size_t size) {
  keep("pixels", pixels, size); return tensor ? kTfLiteOk : kTfLiteError;
}
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor *tensor, void *logits, size_t size) {
  FILE *file = fopen("logits", "rb"); size_t read = fread(logits, 1, size, file); fclose(file);
  return tensor && read == size ? kTfLiteOk : kTfLiteError;
}
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter *one) { return one ? kTfLiteOk : kTfLiteError; }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the program, built beside a library that answers what lies in a file."""
    place = tmp_path_factory.mktemp("c")
    version = folder("cnn")
    given = ["export-c", f"cnn/{version.name}", "--store", str(version.parent.parent), "--folder", str(place)]
    found = CliRunner().invoke(main, given, catch_exceptions=False)
    assert found.exit_code == 0 and found.output.count("wrote ") == 3 and "not run" in found.output
    if shutil.which("cc") is None:
        lacking("there is no C compiler")
    include = place / "tensorflow" / "lite" / "c"
    include.mkdir(parents=True)
    (include / "c_api.h").write_text(HEADER)
    (place / "library.c").write_text(LIBRARY)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I."]
    command = ["cc", *flags, "read_digit.c", "library.c", "-lm", "-o", "read_digit"]
    subprocess.run(command, cwd=place, check=True)
    return place


def test_the_program_gives_the_net_its_pixels_and_reads_its_logits(built: Path) -> None:
    version, image = folder("cnn"), digits()[7]
    card = read_card(version)
    grey = np.rint(image * 255).astype(np.uint8)
    logits = predictor(version, card).forward((grey / 255).astype(np.float32)[None])[0]
    (built / "logits").write_bytes(logits.astype("<f4").tobytes())
    pgm = b"P5 28 28 255\n" + grey.tobytes()
    said = subprocess.run(["./read_digit"], input=pgm, cwd=built, capture_output=True, check=True).stdout.decode()
    shares = np.exp((logits - logits.max()) / card.temperature)
    assert said == f"{card.classes[int(logits.argmax())]} {1 / shares.sum():.4f}\n"
    assert (built / "model").read_bytes() == (version / "assets.extra" / "model.tflite").read_bytes()
    assert np.frombuffer((built / "pixels").read_bytes(), "<f4") == pytest.approx(grey.ravel() / 255, abs=1e-6)
    faint = (logits - 100).astype("<f4")
    (built / "logits").write_bytes(faint.tobytes())
    said = subprocess.run(["./read_digit", "--sample"], cwd=built, capture_output=True, check=True).stdout.decode()
    assert said.endswith(" (does not look like a digit)\n")


@pytest.mark.parametrize("sent", [b"", b"P5 27 28 255\n" + bytes(784), b"P5 28 28 255\n" + bytes(783), b"GIF89a"])
def test_other_pictures_are_refused(built: Path, sent: bytes) -> None:
    done = subprocess.run(["./read_digit"], input=sent, cwd=built, capture_output=True)
    assert done.returncode == 2 and b"expected a binary PGM (P5) of 28 x 28" in done.stderr


def test_an_array_is_its_bytes() -> None:
    content = bytes(range(256)) + b"\x00\xff"
    text = array("digit_model", content, "mlp */ #error")
    assert bytes(int(one, 16) for one in re.findall("0x([0-9a-f]{2})", text)) == content
    assert "length = 258;" in text and text.splitlines()[0].count("*/") == 1
