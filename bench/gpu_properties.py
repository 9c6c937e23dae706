"""Prints the properties of the first GPU as cuDNN writes them, one JSON line: the form in which src/gpu/models.c keeps models."""
import ctypes
import json
import sys

# Values of cudnn_graph.h.
DEVICEPROP_DESCRIPTOR, DEVICE_ID, JSON_REPRESENTATION = 38, 2700, 2702
TYPE_INT32, TYPE_CHAR = 23, 24


def main():
    try:
        cudnn = ctypes.CDLL("libcudnn.so.9")
    except OSError as error:
        sys.exit("gpu_properties: %s" % error)
    cudnn.cudnnGetErrorString.restype = ctypes.c_char_p

    def check(code, what):
        if code != 0:
            sys.exit("gpu_properties: %s: %s" % (what, cudnn.cudnnGetErrorString(code).decode()))

    properties = ctypes.c_void_p()
    check(cudnn.cudnnBackendCreateDescriptor(DEVICEPROP_DESCRIPTOR, ctypes.byref(properties)), "creating the descriptor")
    index = ctypes.c_int32(0)
    check(cudnn.cudnnBackendSetAttribute(properties, DEVICE_ID, TYPE_INT32, ctypes.c_int64(1), ctypes.byref(index)), "choosing GPU 0")
    check(cudnn.cudnnBackendFinalize(properties), "asking GPU 0")
    text, count = ctypes.create_string_buffer(65536), ctypes.c_int64()
    check(cudnn.cudnnBackendGetAttribute(properties, JSON_REPRESENTATION, TYPE_CHAR, ctypes.c_int64(65536), ctypes.byref(count), text),
          "reading the properties")
    print(json.dumps(json.loads(text.value)))


if __name__ == "__main__":
    main()
