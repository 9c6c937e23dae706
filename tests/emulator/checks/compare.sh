#!/bin/bash
# compare.sh PROGRAM EXPECTED : what the program prints is what stands in the file.
diff <("$1") "$2" || { echo "$1: the lines differ (< printed, > expected)"; exit 1; }
