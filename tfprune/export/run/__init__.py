"""Running, timing and comparing .tflite files, each in a process of its own."""
