"""Importing TensorFlow: quietly, and set up so that equal commands give equal bits."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable

from src.errors import UserError


def import_tensorflow(set_up: Callable[[], None] | None = None) -> None:
    """Import TensorFlow (about 3 s) and fix what would make two runs of a command differ.

    TensorFlow writes lines about drivers and CPU features to the process' error stream before its
    logging can be set; they are held back, and shown when the import fails.

    Args:
        set_up: called between the import and the start of TensorFlow's runtime, such as to set up
            devices; not where TensorFlow is imported already.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    kept = os.dup(2)
    gc.disable()  # a tenth of the import's time goes into collections that find nothing
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import keras
            import tensorflow as tf

            if set_up is not None:
                set_up()
            tf.config.list_logical_devices()  # starts the runtime, which logs too
        except UserError:
            raise
        except BaseException:
            held_back.seek(0)
            os.write(kept, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            gc.enable()
    gc.freeze()  # later collections pass over the modules: 0.2 s becomes some milliseconds
    tf.config.experimental.enable_op_determinism()
    # A user's ~/.keras/keras.json must not change what a recorded run computes.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
