"""Constants as tflite-micro's TFLM_DECODE operator reads them."""
