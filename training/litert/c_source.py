"""A version's predicting file as C source, and a small C program that reads a digit by it: for devices without files.

The program calls TensorFlow Lite's C library (c_api.h), which LiteRT has too; microcontrollers take the array alone.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from training.errors import DataError
from training.store.card import checked_card

TWIN, BACKGROUND = Path("assets.extra", "model.tflite"), Path("assets.extra", "background.npz")
ACROSS = 12  # bytes in a line
MODEL, PROGRAM, SAMPLE = "digit_model.h", "read_digit.c", "sample.h"

_PROGRAM = """\
/* Reads one handwritten digit: a binary PGM of {width} x {height} pixels from the standard input (255 is ink, 0 is
 * paper, cropped and centred as MNIST's), or the sample where it is called with --sample.
 *
 *   cc -O2 read_digit.c -I INCLUDE -L LIB -ltensorflowlite_c -lm -o read_digit
 *   ./read_digit --sample
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digit_model.h"
#include "sample.h"
#include "tensorflow/lite/c/c_api.h"

enum {{ HEIGHT = {height}, WIDTH = {width}, CLASSES = {classes} }};
static const char *const LABELS[CLASSES] = {{{labels}}};
static const float TEMPERATURE = {temperature:.9g}f;
static const float THRESHOLD = {threshold:.9g}f; /* of the energy, below which it is no digit */

static int read_pgm(FILE *file, float *pixels) {{
  int width, height, most;
  if (fscanf(file, "P5 %d %d %d", &width, &height, &most) != 3 || width != WIDTH || height != HEIGHT || most != 255)
    return 0;
  fgetc(file); /* the one white space before the pixels */
  for (int i = 0; i < HEIGHT * WIDTH; ++i) {{
    int value = fgetc(file);
    if (value == EOF) return 0;
    pixels[i] = (float)value / 255.0f;
  }}
  return 1;
}}

int main(int argc, char **argv) {{
  static float pixels[HEIGHT * WIDTH];
  float logits[CLASSES];
  if (argc > 1 && strcmp(argv[1], "--sample") == 0) {{
    for (int i = 0; i < HEIGHT * WIDTH; ++i) pixels[i] = (float)sample[i] / 255.0f;
  }} else if (!read_pgm(stdin, pixels)) {{
    fprintf(stderr, "expected a binary PGM (P5) of %d x %d pixels, 0..255\\n", WIDTH, HEIGHT);
    return 2;
  }}
  TfLiteModel *model = TfLiteModelCreate(digit_model, digit_model_length);
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreter *interpreter = model ? TfLiteInterpreterCreate(model, options) : NULL;
  int done = 0;
  if (interpreter && TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk) {{
    TfLiteTensor *input = TfLiteInterpreterGetInputTensor(interpreter, 0);
    if (TfLiteTensorCopyFromBuffer(input, pixels, sizeof pixels) == kTfLiteOk &&
        TfLiteInterpreterInvoke(interpreter) == kTfLiteOk) {{
      const TfLiteTensor *output = TfLiteInterpreterGetOutputTensor(interpreter, {output});
      done = TfLiteTensorCopyToBuffer(output, logits, sizeof logits) == kTfLiteOk;
    }}
  }}
  TfLiteInterpreterDelete(interpreter);
  TfLiteInterpreterOptionsDelete(options);
  TfLiteModelDelete(model);
  if (!done) {{
    fprintf(stderr, "the net cannot be run\\n");
    return 1;
  }}
  int best = 0;
  for (int k = 1; k < CLASSES; ++k)
    if (logits[k] > logits[best]) best = k;
  double sum = 0;
  for (int k = 0; k < CLASSES; ++k) sum += exp((logits[k] - logits[best]) / TEMPERATURE);
  const double energy = logits[best] + TEMPERATURE * log(sum);
  printf("%s %.4f%s\\n", LABELS[best], 1 / sum, energy < THRESHOLD ? " (does not look like a digit)" : "");
  return 0;
}}
"""


def write_c(version: Path, folder: Path) -> list[Path]:
    """Write three files into `folder`: the array of the file that predicts of a stored version, a program that calls
    it, and a sample image.

    Raises:
        DataError: `version` is none, or has no such file.
    """
    card = checked_card(version)
    if not (version / TWIN).is_file():
        raise DataError(f"{version} has no {TWIN}; `python -m training convert` makes the next version with one")
    content = (version / TWIN).read_bytes()
    with np.load(version / BACKGROUND, allow_pickle=False) as stored:
        sample = np.rint(stored["centroids"][0] * 255).astype(np.uint8)
    program = _PROGRAM.format(
        height=card["image"]["height"],
        width=card["image"]["width"],
        classes=len(card["classes"]),
        labels=", ".join(f'"{_escaped(label)}"' for label in card["classes"]),
        temperature=card["temperature"],
        threshold=card["in_distribution"]["threshold"],
        output=_place_of_logits(content),
    )
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{card['name']}, version {card['version']}"
    written = {
        MODEL: array("digit_model", content, about),
        PROGRAM: program,
        SAMPLE: array("sample", sample.tobytes(), "a mean of training images"),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    return [folder / name for name in written]


def _place_of_logits(content: bytes) -> int:
    """Among the outputs, as the C library counts them."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    tensor = interpreter.get_signature_runner().get_output_details()["logits"]["index"]
    return [one["index"] for one in interpreter.get_output_details()].index(tensor)


def array(name: str, content: bytes, about: str) -> str:
    """C source of a constant array and of its length; aligned, as LiteRT reads it in place."""
    return (
        f"/* {about.replace('*/', '')} */\n#include <stdalign.h>\n\n"
        f"static const alignas(16) unsigned char {name}[] = {{\n{''.join(_lines(content))}}};\n"
        f"static const unsigned int {name}_length = {len(content)};\n"
    )


def _lines(content: bytes) -> Iterator[str]:
    for start in range(0, len(content), ACROSS):
        yield "  " + ", ".join(f"0x{byte:02x}" for byte in content[start : start + ACROSS]) + ",\n"


def _escaped(label: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else f"\\{ord(letter):03o}" for letter in label[:20])
